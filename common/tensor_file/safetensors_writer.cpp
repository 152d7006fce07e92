#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "common/tensor_file/file_checksum.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

using Item = std::pair<std::string, at::Tensor>;

std::vector<Item> in_file_order(const std::map<std::string, at::Tensor>& tensors) {
  std::vector<Item> items;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined()) fail("tensor ", quoted_name(name), " is undefined and can't be stored");
    if (name == "__metadata__") fail("a tensor can't be called __metadata__");
    items.emplace_back(name, tensor.detach());
  }
  // tensors come sorted by name from the map
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return safetensors_dtype_rank(a.second.scalar_type()) <
           safetensors_dtype_rank(b.second.scalar_type());
  });
  return items;
}

std::string make_header(const std::vector<Item>& items,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  header["__metadata__"][kChecksumKey] = checksum_digits(0);
  for (const auto& [key, text] : metadata) {
    if (key == kChecksumKey) fail("metadata can't be called ", kChecksumKey);
    header["__metadata__"][key] = text;
  }
  uint64_t offset = 0;
  for (const auto& [name, tensor] : items) {
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {{"dtype", safetensors_dtype_name(tensor.scalar_type())},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<Item> items = in_file_order(tensors);
  const std::string header = make_header(items, metadata);
  const std::string temporary = path + ".tmp";
  File file = File::create(temporary);
  try {
    uint8_t length[8];
    for (size_t i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(header.size() >> 8 * i);
    uint64_t offset = 0;
    uint32_t crc = 0;
    const auto append = [&](const void* data, size_t size) {
      file.write_at(data, size, offset);
      crc = crc32c(data, size, crc);
      offset += size;
    };
    append(length, sizeof length);
    append(header.data(), header.size());
    for (const auto& [name, tensor] : items) {
      const at::Tensor bytes = tensor.to(c10::Device(c10::kCPU)).contiguous();
      append(bytes.const_data_ptr(), bytes.nbytes());
    }
    const std::string digits = checksum_digits(crc);
    file.write_at(digits.data(), digits.size(), checksum_offset());
    file.sync();
    file.close();
    publish_file(temporary, path);
  } catch (...) {
    std::remove(temporary.c_str());  // its space may be needed
    throw;
  }
}

}  // namespace last
