#include "extractor/images/tiff_alpha.h"

#include "extractor/images/image_header.h"

namespace last {
namespace {

constexpr uint64_t kExtraSamples = 338;
constexpr uint64_t kShort = 3;
constexpr uint8_t kAssociated = 1;
constexpr uint8_t kUnassociated = 2;

}  // namespace

std::vector<uint8_t> with_associated_alpha(std::span<const uint8_t> tiff) {
  const bool little_endian = !tiff.empty() && tiff[0] == 'I';
  const auto number = [&](uint64_t offset, size_t size) {
    return little_endian ? little_endian_at(tiff, offset, size) : big_endian_at(tiff, offset, size);
  };
  const uint64_t directory = number(4, 4);
  const uint64_t entries = number(directory, 2);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + 12 * i;
    if (number(entry, 2) != kExtraSamples || number(entry + 2, 2) != kShort ||
        number(entry + 4, 4) != 1 || number(entry + 8, 2) != kUnassociated) {
      continue;
    }
    std::vector<uint8_t> changed(tiff.begin(), tiff.end());
    changed[entry + (little_endian ? 8 : 9)] = kAssociated;
    return changed;
  }
  return {};
}

}  // namespace last
