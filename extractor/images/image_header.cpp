#include "extractor/images/image_header.h"

#include <cctype>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "extractor/images/pnm.h"

namespace last {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint64_t kTiffShort = 3;
constexpr uint64_t kTiffLong = 4;

bool has_text(Bytes bytes, size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() &&
         std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

ImageHeader read_bmp(Bytes bytes) {
  ImageHeader header{ImageFormat::kBmp};
  if (little_endian_at(bytes, 14, 4) == 12) {  // OS/2
    header.width = little_endian_at(bytes, 18, 2);
    header.height = little_endian_at(bytes, 20, 2);
  } else {
    header.width = little_endian_at(bytes, 18, 4);
    const auto height =
        static_cast<int32_t>(little_endian_at(bytes, 22, 4));  // negative: top row first
    header.height = static_cast<uint64_t>(height < 0 ? -static_cast<int64_t>(height) : height);
    const uint64_t bits = little_endian_at(bytes, 28, 2);
    const uint64_t compression = little_endian_at(bytes, 30, 4);
    if (compression == 0 || compression == 3) {  // rows of whole 32-bit words
      const uint64_t row_bits = header.width * bits;
      const uint64_t row_bytes = (row_bits + 31) / 32 * 4;
      const uint64_t padding = row_bytes - (row_bits + 7) / 8;
      const uint64_t end = little_endian_at(bytes, 10, 4) + row_bytes * header.height;
      header.truncated = bytes.size() + padding < end;
      if (bytes.size() < end && !header.truncated) header.missing_padding = end - bytes.size();
    }
  }
  return header;
}

ImageHeader read_webp(Bytes bytes) {
  ImageHeader header{ImageFormat::kWebp};
  if (has_text(bytes, 12, "VP8 ")) {
    header.width = little_endian_at(bytes, 26, 2) & 0x3fff;
    header.height = little_endian_at(bytes, 28, 2) & 0x3fff;
  } else if (has_text(bytes, 12, "VP8L")) {
    const uint64_t sizes = little_endian_at(bytes, 21, 4);
    header.width = (sizes & 0x3fff) + 1;
    header.height = (sizes >> 14 & 0x3fff) + 1;
  } else if (has_text(bytes, 12, "VP8X")) {
    header.width = little_endian_at(bytes, 24, 3) + 1;
    header.height = little_endian_at(bytes, 27, 3) + 1;
  }
  return header;
}

// The first directory's ImageWidth (256) and ImageLength (257). Of repeated tags libtiff takes the
// first and PIL the last, and of types that the standard doesn't allow libtiff takes some: either
// would be a size that --max-pixels never saw. Such a file gives none.
ImageHeader read_tiff(Bytes bytes, bool little_endian) {
  const auto number = [&](uint64_t offset, size_t size) {
    return little_endian ? little_endian_at(bytes, offset, size)
                         : big_endian_at(bytes, offset, size);
  };
  ImageHeader header{ImageFormat::kTiff};
  const uint64_t directory = number(4, 4);
  const uint64_t entries = number(directory, 2);
  int widths = 0, heights = 0;
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + 12 * i;
    const uint64_t tag = number(entry, 2);
    if (tag != 256 && tag != 257) continue;
    const uint64_t type = number(entry + 2, 2);
    const bool allowed = (type == kTiffShort || type == kTiffLong) && number(entry + 4, 4) == 1;
    const uint64_t value = allowed ? number(entry + 8, type == kTiffShort ? 2 : 4) : 0;
    (tag == 256 ? header.width : header.height) = value;
    ++(tag == 256 ? widths : heights);
  }
  if (widths != 1 || heights != 1) header.width = header.height = 0;
  return header;
}

}  // namespace

uint64_t little_endian_at(Bytes bytes, uint64_t offset, size_t size) {
  if (offset > bytes.size() || bytes.size() - offset < size) return 0;
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | bytes[offset + i];
  return value;
}

uint64_t big_endian_at(Bytes bytes, uint64_t offset, size_t size) {
  if (offset > bytes.size() || bytes.size() - offset < size) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | bytes[offset + i];
  return value;
}

const char* format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return "JPEG";
    case ImageFormat::kPng:
      return "PNG";
    case ImageFormat::kBmp:
      return "BMP";
    case ImageFormat::kWebp:
      return "WebP";
    case ImageFormat::kTiff:
      return "TIFF";
    case ImageFormat::kPnm:
      return "PNM";
    case ImageFormat::kGif:
      return "GIF";
    case ImageFormat::kUnknown:
      break;
  }
  return "unknown";
}

ImageHeader read_image_header(Bytes bytes) {
  if (has_text(bytes, 0, "\xff\xd8\xff")) return {ImageFormat::kJpeg};
  if (has_text(bytes, 0, "\x89PNG\r\n\x1a\n")) {
    return {ImageFormat::kPng, big_endian_at(bytes, 16, 4), big_endian_at(bytes, 20, 4)};
  }
  if (has_text(bytes, 0, "RIFF") && has_text(bytes, 8, "WEBP")) return read_webp(bytes);
  if (has_text(bytes, 0, "BM")) return read_bmp(bytes);
  if (has_text(bytes, 0, {"II*\0", 4})) return read_tiff(bytes, true);
  if (has_text(bytes, 0, {"MM\0*", 4})) return read_tiff(bytes, false);
  if (has_text(bytes, 0, "GIF8")) {
    return {ImageFormat::kGif, little_endian_at(bytes, 6, 2), little_endian_at(bytes, 8, 2)};
  }
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      (std::isspace(bytes[2]) != 0 || bytes[2] == '#')) {
    const PnmHeader pnm = read_pnm_header(bytes);
    return {ImageFormat::kPnm, pnm.width, pnm.height};
  }
  return {};
}

}  // namespace last
