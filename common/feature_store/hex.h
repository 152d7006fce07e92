#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace last {

// A checksum as people compare it: 0x00c0ffee.
inline std::string hex(uint32_t value) {
  char text[11];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

}  // namespace last
