#include "common/tensor_file/safetensors_header.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"

namespace last {
namespace {

using nlohmann::json;

// In the order in which the reference implementation writes them.
constexpr std::pair<const char*, c10::ScalarType> kDtypes[] = {
    {"I64", c10::ScalarType::Long},      {"F64", c10::ScalarType::Double},
    {"F32", c10::ScalarType::Float},     {"I32", c10::ScalarType::Int},
    {"BF16", c10::ScalarType::BFloat16}, {"F16", c10::ScalarType::Half},
    {"I16", c10::ScalarType::Short},     {"I8", c10::ScalarType::Char},
    {"U8", c10::ScalarType::Byte},       {"BOOL", c10::ScalarType::Bool},
};

// Parses JSON and refuses what a lenient parser lets through: doubled keys, deep nesting.
json parse_strict(std::string_view text, const std::string& path) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > 4) fail("\"", path, "\": the header is nested deeper than the format allows");
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto name = value.get<std::string>();
      if (!keys.back().insert(name).second) {
        fail("\"", path, "\": the header has the key ", quoted_name(name), " twice");
      }
    }
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::parse_error& error) {
    // not its what(), which quotes the file's bytes
    fail("\"", path, "\": the header is not valid JSON at its byte ", error.byte,
         "; is this a safetensors file?");
  } catch (const json::out_of_range&) {
    fail("\"", path, "\": the header holds a number that is too large");
  }
}

// Reads one entry; `place` is `"FILE": tensor "NAME"`.
class EntryParser {
 public:
  EntryParser(std::string place, const json& value) : place_(std::move(place)), value_(value) {
    if (!value.is_object()) fail(place_, ": an object expected, ", value.type_name(), " found");
  }

  c10::ScalarType dtype() const {
    const json& name = field("dtype");
    if (!name.is_string()) fail(place_, ": dtype is not a text");
    for (const auto& [known, dtype] : kDtypes) {
      if (name == known) return dtype;
    }
    fail(place_, ": dtype ", quoted_name(name.get<std::string>()),
         " is not supported (F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL are)");
  }

  std::vector<int64_t> shape() const {
    std::vector<int64_t> result;
    for (const json& size : array("shape")) {
      const uint64_t number = non_negative("shape", size);
      if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail(place_, ": a shape of ", number, " is too large");
      }
      result.push_back(static_cast<int64_t>(number));
    }
    return result;
  }

  std::pair<uint64_t, uint64_t> offsets() const {
    const json& list = array("data_offsets");
    if (list.size() != 2) fail(place_, ": data_offsets has ", list.size(), " numbers, not 2");
    return {non_negative("data_offsets", list[0]), non_negative("data_offsets", list[1])};
  }

 private:
  const json& field(const char* name) const {
    const auto found = value_.find(name);
    if (found == value_.end()) fail(place_, ": ", name, " is missing");
    return *found;
  }

  const json& array(const char* name) const {
    const json& list = field(name);
    if (!list.is_array()) fail(place_, ": ", name, " is not a list");
    return list;
  }

  uint64_t non_negative(const char* name, const json& number) const {
    if (!number.is_number_unsigned()) {
      fail(place_, ": ", name, " holds something else than whole numbers of 0 and more");
    }
    return number.get<uint64_t>();
  }

  std::string place_;
  const json& value_;
};

SafetensorsEntry parse_entry(const std::string& place, const json& value, uint64_t data_start,
                             uint64_t data_size) {
  const EntryParser parser(place, value);
  SafetensorsEntry entry;
  entry.dtype = parser.dtype();
  entry.shape = parser.shape();
  const auto [begin, end] = parser.offsets();
  if (begin > end || end > data_size) {
    fail(place, ": data_offsets [", begin, ", ", end, "] are outside the file's ", data_size,
         " bytes of data (a truncated file?)");
  }
  const auto bytes = checked_tensor_bytes(entry.shape, c10::elementSize(entry.dtype));
  if (!bytes) fail(place, ": its shape is too large");
  if (*bytes != end - begin) {
    fail(place, ": ", *bytes, " bytes expected for shape ", json(entry.shape).dump(), " of ",
         safetensors_dtype_name(entry.dtype), ", data_offsets give ", end - begin);
  }
  entry.begin = data_start + begin;
  entry.end = data_start + end;
  return entry;
}

void check_coverage(const SafetensorsHeader& header, uint64_t data_start, uint64_t file_size,
                    const std::string& path) {
  std::vector<std::pair<std::pair<uint64_t, uint64_t>, const std::string*>> ranges;
  for (const auto& [name, entry] : header.entries) {
    ranges.push_back({{entry.begin, entry.end}, &name});
  }
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, *a.second) < std::tie(b.first, *b.second);
  });
  uint64_t covered = data_start;
  for (const auto& [range, name] : ranges) {
    if (range.first != covered) {
      fail("\"", path, "\": tensor ", quoted_name(*name), " starts at byte ",
           range.first - data_start, " of the data, expected ", covered - data_start,
           range.first < covered ? ": tensors overlap" : ": there is a hole");
    }
    covered = range.second;
  }
  if (covered != file_size) {
    fail("\"", path, "\": ", file_size - covered, " bytes after the last tensor belong to none");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const uint8_t> file, const std::string& path) {
  if (file.size() < 8) {
    fail("\"", path, "\" is no safetensors file: ", file.size(), " bytes, at least 8 expected");
  }
  constexpr std::string_view kHdf5 = "\x89HDF\r\n\x1a\n";
  if (std::equal(kHdf5.begin(), kHdf5.end(), file.begin(),
                 [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; })) {
    fail("\"", path, "\" is a feature store (HDF5), not a checkpoint");
  }
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | file[static_cast<size_t>(i)];
  if (length > kMaxSafetensorsHeader || length > file.size() - 8) {
    fail("\"", path, "\" is no safetensors file, or a truncated one: a header of ", length,
         " bytes in a file of ", file.size());
  }
  const uint64_t data_start = 8 + length;
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (text.empty() || text.front() != '{') {
    fail("\"", path, "\" is no safetensors file: its header doesn't start with {");
  }
  SafetensorsHeader header;
  const json entries = parse_strict(text, path);
  for (const auto& [name, value] : entries.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) fail("\"", path, "\": __metadata__ is not an object");
      for (const auto& [key, entry] : value.items()) {
        if (!entry.is_string()) {
          fail("\"", path, "\": __metadata__ ", quoted_name(key), " is not a text");
        }
        header.metadata[key] = entry.get<std::string>();
      }
      continue;
    }
    const std::string place = concat("\"", path, "\": tensor ", quoted_name(name));
    header.entries[name] = parse_entry(place, value, data_start, file.size() - data_start);
  }
  check_coverage(header, data_start, file.size(), path);
  return header;
}

std::optional<uint64_t> checked_tensor_bytes(const std::vector<int64_t>& shape,
                                             uint64_t element_size) {
  uint64_t product = element_size;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(product, static_cast<uint64_t>(size), &product) ||
               product > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return std::nullopt;
    }
  }
  return empty ? 0 : product;
}

size_t safetensors_dtype_rank(c10::ScalarType dtype) {
  for (size_t rank = 0; rank < std::size(kDtypes); ++rank) {
    if (dtype == kDtypes[rank].second) return rank;
  }
  fail("tensors of type ", c10::toString(dtype), " can't be stored in a safetensors file");
}

std::string safetensors_dtype_name(c10::ScalarType dtype) {
  return kDtypes[safetensors_dtype_rank(dtype)].first;
}

std::string quoted_name(const std::string& name) {
  constexpr size_t kShown = 300;
  return json(name.size() <= kShown ? name : name.substr(0, kShown) + "..")
      .dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace last
