#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

namespace last {

// What stands before the numbers of a .npy file (numpy.lib.format):
//   "\x93NUMPY", u8 major version, u8 minor, u16 (from version 2: u32) length, little endian, then
//   a Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } of that length
struct NpyHeader {
  c10::ScalarType dtype = c10::ScalarType::Undefined;  // Undefined: no type of this program
  std::string descr;                                   // as it stands in the file
  std::vector<int64_t> shape;
  bool fortran_order = false;
  uint64_t data_begin = 0;  // bytes before the numbers
  uint64_t data_bytes = 0;  // of the numbers; 0 for types that this program doesn't have
};

// Longer headers are refused; NumPy's own are about 128 bytes.
inline constexpr uint64_t kMaxNpyHeader = 65536;

// `bytes`: the beginning of the file, at least its header. Two bytes without meaning ("V2"), and
// unsigned 16-bit integers, are how NumPy stores bfloat16. An Error begins with `place`.
NpyHeader parse_npy_header(std::span<const uint8_t> bytes, const std::string& place);

}  // namespace last
