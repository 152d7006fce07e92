#include "common/tensor_file/npy_header.h"

#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

constexpr std::pair<const char*, c10::ScalarType> kTypes[] = {
    {"f8", c10::ScalarType::Double},   {"f4", c10::ScalarType::Float},
    {"f2", c10::ScalarType::Half},     {"V2", c10::ScalarType::BFloat16},
    {"u2", c10::ScalarType::BFloat16}, {"i8", c10::ScalarType::Long},
    {"i4", c10::ScalarType::Int},      {"i2", c10::ScalarType::Short},
    {"i1", c10::ScalarType::Char},     {"u1", c10::ScalarType::Byte},
    {"b1", c10::ScalarType::Bool}};

c10::ScalarType type_of(const std::string& descr) {
  // '<' little endian, '|' not applicable
  if (descr.size() != 3 || (descr[0] != '<' && descr[0] != '|')) return c10::ScalarType::Undefined;
  for (const auto& [name, dtype] : kTypes) {
    if (descr.substr(1) == name) return dtype;
  }
  return c10::ScalarType::Undefined;
}

// Reads the one kind of Python dictionary that NumPy writes.
class DictionaryParser {
 public:
  DictionaryParser(std::string_view text, const std::string& place) : text_(text), place_(place) {}

  void parse(NpyHeader& header) {
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !descr) {
        header.descr = quoted();
        descr = true;
      } else if (key == "fortran_order" && !order) {
        header.fortran_order = boolean();
        order = true;
      } else if (key == "shape" && !shape) {
        header.shape = tuple();
        shape = true;
      } else {
        refuse();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (!text_.empty() || !descr || !order || !shape) refuse();
  }

 private:
  [[noreturn]] void refuse() const {
    fail(place_, ": its header is not that of a plain NumPy array (descr, fortran_order, shape)");
  }

  void skip_spaces() {
    const size_t begin = text_.find_first_not_of(" \n");
    text_.remove_prefix(begin == std::string_view::npos ? text_.size() : begin);
  }

  bool accept(char character) {
    skip_spaces();
    if (text_.empty() || text_.front() != character) return false;
    text_.remove_prefix(1);
    return true;
  }

  void expect(char character) {
    if (!accept(character)) refuse();
  }

  std::string quoted() {
    expect('\'');
    const size_t end = text_.find('\'');
    if (end == std::string_view::npos) refuse();
    std::string result(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return result;
  }

  bool boolean() {
    skip_spaces();
    for (const auto& [name, value] : {std::pair<std::string_view, bool>{"True", true},
                                      std::pair<std::string_view, bool>{"False", false}}) {
      if (!text_.starts_with(name)) continue;
      text_.remove_prefix(name.size());
      return value;
    }
    refuse();
  }

  std::vector<int64_t> tuple() {
    std::vector<int64_t> result;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      int64_t number = 0;
      const auto parsed = std::from_chars(text_.data(), text_.data() + text_.size(), number);
      if (parsed.ec != std::errc() || number < 0 || result.size() == 64) refuse();
      text_.remove_prefix(static_cast<size_t>(parsed.ptr - text_.data()));
      result.push_back(number);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return result;
  }

  std::string_view text_;
  const std::string& place_;
};

}  // namespace

NpyHeader parse_npy_header(std::span<const uint8_t> bytes, const std::string& place) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic) || bytes.size() < 12) fail(place, " is no NumPy array (.npy)");
  const int major = bytes[6];
  if (major < 1 || major > 3) {
    fail(place, ": version ", major, " of NumPy's format is not known (1, 2 and 3 are)");
  }
  const size_t begin = major == 1 ? 10 : 12;
  uint64_t length = bytes[8] | uint64_t{bytes[9]} << 8;
  if (major > 1) length |= uint64_t{bytes[10]} << 16 | uint64_t{bytes[11]} << 24;
  if (length > kMaxNpyHeader || begin + length > bytes.size()) {
    fail(place, ": a header of ", length, " bytes (truncated, or no NumPy array)");
  }
  NpyHeader header;
  DictionaryParser(text.substr(begin, length), place).parse(header);
  header.data_begin = begin + length;
  header.dtype = type_of(header.descr);
  if (header.dtype == c10::ScalarType::Undefined) return header;
  const auto size =
      checked_tensor_bytes(header.shape, static_cast<uint64_t>(c10::elementSize(header.dtype)));
  if (!size) fail(place, ": its shape is too large");
  header.data_bytes = *size;
  return header;
}

}  // namespace last
