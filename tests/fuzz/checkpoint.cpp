// Input: lines "NAME SIZE SIZE ..", a checkpoint's tensors; a zero byte; config.json. What is
// recognised, resolved and checked is what `extractor model` shows: no number of a tensor is read.

#include <charconv>
#include <optional>
#include <vector>

#include "common/io/file.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/load.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace last;

// The next part of `text` up to `end`, which is cut off with it.
std::string_view take(std::string_view* text, char end) {
  const size_t at = text->find(end);
  const std::string_view part = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return part;
}

// A file as the lines say, of zeros that take no memory. Nothing where it would be larger than any.
bool write_checkpoint(const std::string& path, std::string_view lines) {
  constexpr uint64_t kLargest = uint64_t{1} << 36;
  nlohmann::json header = nlohmann::json::object();
  uint64_t offset = 0;
  while (!lines.empty()) {
    std::string_view line = take(&lines, '\n');
    const std::string name(take(&line, ' '));
    std::vector<int64_t> shape;
    while (!line.empty()) {
      const std::string_view number = take(&line, ' ');
      int64_t size = 0;
      std::from_chars(number.data(), number.data() + number.size(), size);
      if (size < 0) return false;
      shape.push_back(size);
    }
    const std::optional<uint64_t> bytes = checked_tensor_bytes(shape, 4);
    if (!bytes || *bytes > kLargest || header.contains(name)) continue;
    header[name] = {
        {"dtype", "F32"}, {"shape", shape}, {"data_offsets", {offset, offset + *bytes}}};
    offset += *bytes;
    if (offset > kLargest) return false;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string file;
  for (int i = 0; i < 64; i += 8) file += static_cast<char>(text.size() >> i & 255);
  write_file_atomically(path, file + text);
  std::filesystem::resize_file(path, file.size() + text.size() + offset);
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  std::string_view rest = fuzz::text_of(data, size);
  BackboneOptions options;
  options.weights = folder / "model.safetensors";
  if (!write_checkpoint(options.weights, fuzz::take_part(&rest))) return 0;
  if (rest.empty()) {
    std::filesystem::remove(folder / "config.json");
  } else {
    write_file_atomically(folder / "config.json", std::string(rest));
  }
  fuzz::expect_result_or_error([&] {
    // a line per decision
    if (describe_backbone(options).dump().empty()) __builtin_trap();
  });
  return 0;
}
