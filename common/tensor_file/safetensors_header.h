#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <c10/core/ScalarType.h>

namespace last {

// The byte format (https://github.com/huggingface/safetensors):
//   u64 little endian: length of the header
//   header: a JSON object {"NAME": {"dtype", "shape", "data_offsets": [begin, end]}, ..,
//           "__metadata__": {text: text}}, padded with spaces
//   data: offsets count from here; without overlaps and holes
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsEntry {
  c10::ScalarType dtype = c10::ScalarType::Float;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // from the start of the file
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

// Reads and checks the header of a whole file. Nothing in it is believed: an Error names file,
// tensor, what was expected and what was found.
SafetensorsHeader parse_safetensors_header(std::span<const uint8_t> file, const std::string& path);

// Bytes of a tensor; nothing where they don't fit into 64 bits. Zeros in the shape don't hide an
// overflow of the others, from which strides are computed.
std::optional<uint64_t> checked_tensor_bytes(const std::vector<int64_t>& shape,
                                             uint64_t element_size);

// "F32" for Float, ..; an Error for types that the format or this program doesn't have.
std::string safetensors_dtype_name(c10::ScalarType dtype);

// Its place in the order of types in a written file; larger elements come first.
size_t safetensors_dtype_rank(c10::ScalarType dtype);

// A name out of a file as it may be shown: quoted, all but ASCII escaped, a long one cut.
std::string quoted_name(const std::string& name);

}  // namespace last
