#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/io/file.h"

namespace last {

// A run of bytes in a file.
struct Extent {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t end() const { return offset + size; }
  bool operator==(const Extent&) const = default;
};

enum class FooterKind : uint32_t { kPartial = 1, kFinal = 2 };

// 512 bytes behind HDF5's end of file, at a multiple of 4096 so that a disk writes them whole.
// Little endian; FORMAT.md (6) gives the bytes.
struct Footer {
  FooterKind kind = FooterKind::kPartial;
  uint64_t hdf5_size = 0;        // HDF5's end of file
  std::vector<Extent> excluded;  // ascending, at most kMaxExtents
  uint32_t content_crc = 0;      // CRC-32C of all bytes before the footer outside `excluded`
};

constexpr uint64_t kFooterBytes = 512;
constexpr uint64_t kFooterAlignment = 4096;
constexpr size_t kMaxExtents = 9;

// Where the footer of a file with this end of its HDF5 part lies.
uint64_t footer_offset(uint64_t hdf5_size);

// Takes the CRC of the file's content, and writes the footer.
void write_footer(const File& file, FooterKind kind, uint64_t hdf5_size,
                  std::vector<Extent> excluded);

// Nothing where the file does not end in a footer; an Error where it ends in a damaged one.
std::optional<Footer> read_footer(const File& file);

// An Error with expected and found CRC where bytes outside the excluded extents have changed.
void check_content(const File& file, const Footer& footer);

}  // namespace last
