#pragma once

#include <mutex>
#include <string>
#include <utility>

#include <hdf5.h>

#include "common/error.h"

namespace last::hdf5 {

// HDF5 is not thread-safe. Every use of it, the closing of handles included, happens while a
// Session lives: it holds the one mutex of the process, and keeps HDF5 from printing its errors.
class Session {
 public:
  Session();

 private:
  std::lock_guard<std::mutex> lock_;
};

// Throws `HDF5 can't WHAT: ...` with what HDF5's error stack says.
[[noreturn]] void fail_hdf5(const std::string& what);

// The file that an open object belongs to, for messages.
std::string file_name_of(hid_t object);

// Passes `result` on; a negative one throws. `what` is called only then.
template <class Result, class What>
Result check(Result result, const What& what) {
  if (result < 0) fail_hdf5(what());
  return result;
}

// Owns one identifier. Destruction closes it in silence; close() reports an error.
template <herr_t (*CloseFunction)(hid_t)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(id) {}
  ~Handle() {
    if (id_ >= 0) CloseFunction(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }

  hid_t get() const { return id_; }
  void close(const std::string& what) {
    if (CloseFunction(std::exchange(id_, H5I_INVALID_HID)) < 0) fail_hdf5(what);
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
};

using FileHandle = Handle<H5Fclose>;
using Group = Handle<H5Gclose>;
using Dataset = Handle<H5Dclose>;
using Attribute = Handle<H5Aclose>;
using Dataspace = Handle<H5Sclose>;
using Datatype = Handle<H5Tclose>;
using PropertyList = Handle<H5Pclose>;

PropertyList make_properties(hid_t list_class);

// Properties of a creation that leaves no time behind: the same content gives the same bytes.
PropertyList make_timeless_properties(hid_t list_class);

// `alignment` holds for objects of at least `threshold` bytes. Metadata in the format of HDF5 1.8,
// which carries checksums and which every reader knows.
FileHandle create_file(const std::string& path, hsize_t threshold, hsize_t alignment);
FileHandle open_file_read_only(const std::string& path);

}  // namespace last::hdf5
