#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <opencv2/core.hpp>

namespace last {

// "P6 # comment\n 640 480 255 ". Numbers that lack are 0, those above 2^32 are 2^32.
struct PnmHeader {
  char kind = '6';  // 1..3: bits, gray, RGB as text; 4..6: the same as bytes
  uint64_t width = 0;
  uint64_t height = 0;
  uint64_t maxval = 0;  // what white is stored as; 1 of bits
  size_t data = 0;      // where the samples begin, at most the file's size
  bool whole = false;   // white space follows the last number
};

// Never fails. `bytes` begin with P1 .. P6.
PnmHeader read_pnm_header(std::span<const uint8_t> bytes);

// Decodes a PNM as PIL's convert("RGB") does, scaled from 0..maxval to 0..255; of gray with more
// than 8 bits, which PIL clips, the upper 8 of 16. BadImage where PIL raises. OpenCV isn't used for
// PNM because it doesn't look at maxval.
//
// Its pixels have been counted. Returns RGB, [height, width] of CV_8UC3.
cv::Mat decode_pnm(std::span<const uint8_t> bytes);

}  // namespace last
