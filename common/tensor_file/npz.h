#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "common/tensor_file/npy_header.h"
#include "common/tensor_file/tensor_source.h"

struct zip;

namespace last {

// An archive of numpy.savez or savez_compressed: a zip file whose entries NAME.npy are arrays.
// Opening reads the headers only; every tensor is read from the file when it is asked for. Sizes
// that the archive states are checked against each other before memory is taken for them.
class NpzFile : public TensorSource {
 public:
  explicit NpzFile(const std::string& path);
  ~NpzFile() override;

  const std::string& path() const override { return path_; }
  const std::vector<std::string>& names() const override { return names_; }
  bool has(const std::string& name) const override { return entries_.count(name) != 0; }
  const std::vector<int64_t>& shape(const std::string& name) const override;
  // Undefined for types that this program doesn't have (text, big endian, ..).
  c10::ScalarType dtype(const std::string& name) const override;
  // An Error also where the archive's checksum does not fit.
  at::Tensor tensor(const std::string& name) const override;
  // Of an entry that is not compressed it reads no more than it returns, but the first time: rows
  // have no checksum of their own, so the whole entry is read once for that of the archive.
  at::Tensor slice(const std::string& name, int64_t index) const override;
  const std::map<std::string, std::string>& metadata() const override { return metadata_; }
  std::string sha256() const override;

 private:
  struct Entry {
    uint64_t index = 0;      // in the archive
    bool is_stored = false;  // not compressed
    NpyHeader header;
  };

  // `bytes_left`: those of the file that no earlier entry claimed.
  void add_entry(uint64_t index, uint64_t& bytes_left);
  const Entry& readable_entry(const std::string& name) const;
  // `size` bytes at `offset` of the unpacked entry; at its end the checksum is compared.
  void read(const Entry& entry, const std::string& place, uint64_t offset, void* data,
            uint64_t size, bool to_end) const;
  // Compares the entry's checksum, unless that was done before.
  void check_once(const Entry& entry, const std::string& place) const;
  std::string place_of(const std::string& name) const;

  std::string path_;
  zip* archive_ = nullptr;
  mutable std::mutex mutex_;            // libzip's archives are for one thread
  mutable std::set<uint64_t> checked_;  // entries whose checksum fits, by their index
  std::map<std::string, Entry> entries_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> metadata_;  // always empty
};

}  // namespace last
