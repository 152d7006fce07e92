#include "common/feature_store/footer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "common/error.h"
#include "common/feature_store/hex.h"
#include "common/io/checksum.h"

namespace last {
namespace {

static_assert(std::endian::native == std::endian::little, "stores are read without byte swaps");

constexpr std::array<char, 8> kMagic = {'L', 'A', 'S', 'T', 'F', 'S', '\r', '\n'};
constexpr uint32_t kFooterVersion = 1;

// The bytes as they lie in the file.
struct PackedFooter {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t kind;
  uint64_t hdf5_size;
  uint64_t own_offset;
  uint32_t content_crc;
  uint32_t extent_count;
  std::array<Extent, kMaxExtents> extents;
  std::array<uint8_t, 324> zeros;
  uint32_t own_crc;  // of the 508 bytes before
};
static_assert(sizeof(PackedFooter) == kFooterBytes);
static_assert(offsetof(PackedFooter, own_crc) == kFooterBytes - sizeof(uint32_t));

uint32_t crc_of(const PackedFooter& packed) {
  return crc32c(&packed, offsetof(PackedFooter, own_crc));
}

uint32_t crc_of_range(const File& file, uint64_t begin, uint64_t end, uint32_t crc) {
  std::vector<char> buffer(size_t{1} << 20);
  while (begin < end) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - begin));
    file.read_at(buffer.data(), size, begin);
    crc = crc32c(buffer.data(), size, crc);
    begin += size;
  }
  return crc;
}

uint32_t crc_of_content(const File& file, uint64_t end, const std::vector<Extent>& excluded) {
  uint32_t crc = 0;
  uint64_t position = 0;
  for (const Extent& extent : excluded) {
    crc = crc_of_range(file, position, extent.offset, crc);
    position = extent.end();
  }
  return crc_of_range(file, position, end, crc);
}

[[noreturn]] void fail_damaged(const File& file, const std::string& what) {
  fail("\"", file.path(), "\" is damaged: ", what);
}

}  // namespace

uint64_t footer_offset(uint64_t hdf5_size) {
  return (hdf5_size + kFooterAlignment - 1) / kFooterAlignment * kFooterAlignment;
}

void write_footer(const File& file, FooterKind kind, uint64_t hdf5_size,
                  std::vector<Extent> excluded) {
  std::ranges::sort(excluded, {}, &Extent::offset);
  PackedFooter packed{};
  packed.magic = kMagic;
  packed.version = kFooterVersion;
  packed.kind = static_cast<uint32_t>(kind);
  packed.hdf5_size = hdf5_size;
  packed.own_offset = footer_offset(hdf5_size);
  packed.content_crc = crc_of_content(file, packed.own_offset, excluded);
  packed.extent_count = static_cast<uint32_t>(excluded.size());
  std::ranges::copy(excluded, packed.extents.begin());
  packed.own_crc = crc_of(packed);
  file.write_at(&packed, sizeof packed, packed.own_offset);
}

std::optional<Footer> read_footer(const File& file) {
  const uint64_t size = file.size();
  if (size < kFooterBytes) return std::nullopt;
  PackedFooter packed;
  file.read_at(&packed, sizeof packed, size - kFooterBytes);
  if (packed.magic != kMagic) return std::nullopt;
  if (const uint32_t found = crc_of(packed); found != packed.own_crc) {
    fail_damaged(file,
                 concat("its footer has CRC-32C ", hex(found), ", expected ", hex(packed.own_crc)));
  }
  if (packed.version != kFooterVersion) {
    fail("\"", file.path(), "\": footer version ", packed.version, ", this program reads version ",
         kFooterVersion);
  }
  // Below here only a program that writes other footers could surprise us.
  Footer footer{static_cast<FooterKind>(packed.kind), packed.hdf5_size, {}, packed.content_crc};
  if (packed.own_offset != size - kFooterBytes || footer.hdf5_size > packed.own_offset ||
      packed.own_offset - footer.hdf5_size >= kFooterAlignment) {
    fail_damaged(file, concat("its footer belongs at ", packed.own_offset, ", found at ",
                              size - kFooterBytes));
  }
  if (packed.extent_count > kMaxExtents ||
      (footer.kind != FooterKind::kPartial && footer.kind != FooterKind::kFinal)) {
    fail_damaged(file, "its footer makes no sense");
  }
  uint64_t position = 0;
  for (uint32_t i = 0; i < packed.extent_count; ++i) {
    const Extent& extent = packed.extents[i];
    if (extent.offset < position || extent.offset > footer.hdf5_size ||
        extent.size > footer.hdf5_size - extent.offset) {
      fail_damaged(file, "its footer has extents that lie outside the file or overlap");
    }
    position = extent.end();
    footer.excluded.push_back(extent);
  }
  return footer;
}

void check_content(const File& file, const Footer& footer) {
  const uint32_t found = crc_of_content(file, footer_offset(footer.hdf5_size), footer.excluded);
  if (found != footer.content_crc) {
    fail_damaged(file, concat("the bytes outside its rows have CRC-32C ", hex(found),
                              ", its footer expects ", hex(footer.content_crc)));
  }
}

}  // namespace last
