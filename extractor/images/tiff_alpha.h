#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace last {

// libtiff multiplies colours by an unassociated alpha channel, where PIL's convert("RGB") drops the
// channel. Returns a copy of the file whose first directory calls the channel associated, which
// leaves colours as they are; empty where there is nothing to change.
std::vector<uint8_t> with_associated_alpha(std::span<const uint8_t> tiff);

}  // namespace last
