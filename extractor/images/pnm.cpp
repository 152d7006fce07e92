#include "extractor/images/pnm.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "extractor/images/bad_image.h"

namespace last {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint64_t kLargestNumber = uint64_t{1} << 32;
constexpr uint64_t kLargestMaxval = 65535;

bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

// The numbers of a text, between white space and comments, which end with their line.
class Numbers {
 public:
  Numbers(Bytes bytes, size_t at) : bytes_(bytes), at_(at) {}

  size_t at() const { return at_; }
  bool at_end() const { return at_ == bytes_.size(); }
  bool at_digit() const { return !at_end() && is_digit(bytes_[at_]); }

  // Up to `digits` of them; nothing where there is none.
  std::optional<uint64_t> next(size_t digits) {
    skip_space();
    const size_t begin = at_;
    uint64_t value = 0;
    for (; !at_end() && at_ - begin < digits && is_digit(bytes_[at_]); ++at_) {
      value = std::min(value * 10 + (bytes_[at_] - '0'), kLargestNumber);
    }
    return at_ == begin ? std::nullopt : std::optional(value);
  }

 private:
  void skip_space() {
    bool comment = false;
    for (; !at_end(); ++at_) {
      const uint8_t c = bytes_[at_];
      if (comment) {
        comment = c != '\n' && c != '\r';
      } else if (c == '#') {
        comment = true;
      } else if (!is_space(c)) {
        return;
      }
    }
  }

  Bytes bytes_;
  size_t at_;
};

bool is_text(const PnmHeader& header) { return header.kind <= '3'; }
bool is_bits(const PnmHeader& header) { return header.kind == '1' || header.kind == '4'; }
bool is_color(const PnmHeader& header) { return header.kind == '3' || header.kind == '6'; }

// At least; in a text each sample but the last has white space behind it.
uint64_t row_bytes(const PnmHeader& header) {
  const uint64_t samples = header.width * (is_color(header) ? 3 : 1);
  if (header.kind == '1') return samples;
  if (header.kind == '4') return (samples + 7) / 8;
  return is_text(header) || header.maxval > 255 ? 2 * samples : samples;
}

void check_header(const PnmHeader& header, Bytes bytes) {
  if (header.maxval == 0 || header.maxval > kLargestMaxval) {
    throw BadImage(concat("broken PNM: maxval ", header.maxval, ", 1..65535 expected"));
  }
  if (header.width > INT32_MAX || header.height > INT32_MAX) {
    throw BadImage(concat("a PNM of ", header.width, "x", header.height, " pixels"));
  }
  const uint64_t missing_space = is_text(header) && !is_bits(header) ? 1 : 0;
  if ((bytes.size() - header.data + missing_space) / row_bytes(header) < header.height) {
    throw BadImage("the file is truncated");
  }
  if (!header.whole) throw BadImage("broken PNM: no white space behind its header");
}

// What each of 0..maxval becomes, rounded as Python does.
std::vector<uint8_t> make_levels(const PnmHeader& header) {
  if (is_bits(header)) return {255, 0};
  const auto maxval = static_cast<double>(header.maxval);
  const bool is_cut = !is_color(header) && header.maxval > 255;
  std::vector<uint8_t> levels;
  for (uint64_t value = 0; value <= header.maxval; ++value) {
    const double share = static_cast<double>(value) / maxval;
    levels.push_back(is_cut ? static_cast<uint8_t>(std::lrint(share * 65535) >> 8)
                            : static_cast<uint8_t>(std::lrint(share * 255)));
  }
  return levels;
}

// The samples of one row after the other.
class Samples {
 public:
  Samples(const PnmHeader& header, Bytes bytes)
      : header_(header), data_(bytes.subspan(header.data)), numbers_(bytes, header.data) {}

  void read_row(std::span<uint16_t> row) {
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] =
          static_cast<uint16_t>(is_text(header_) ? text() : std::min(number(i), header_.maxval));
    }
    if (!is_text(header_)) data_ = data_.subspan(row_bytes(header_));
  }

 private:
  uint64_t text() {
    constexpr size_t kMostDigits = 10;
    const std::optional<uint64_t> value = numbers_.next(is_bits(header_) ? 1 : kMostDigits);
    if (!value && numbers_.at_end()) throw BadImage("the file is truncated");
    if (!value) throw BadImage("broken PNM: a sample is no number");
    if (!is_bits(header_) && numbers_.at_digit()) {
      throw BadImage(concat("broken PNM: a sample of more than ", kMostDigits, " digits"));
    }
    if (*value > header_.maxval) {
      throw BadImage(
          concat("broken PNM: a sample of ", *value, ", its maxval is ", header_.maxval));
    }
    return *value;
  }

  uint64_t number(size_t i) const {
    if (header_.kind == '4') return data_[i / 8] >> (7 - i % 8) & 1;
    if (header_.maxval <= 255) return data_[i];
    return static_cast<uint64_t>(data_[2 * i]) << 8 | data_[2 * i + 1];
  }

  const PnmHeader& header_;
  Bytes data_;  // from the row on
  Numbers numbers_;
};

}  // namespace

PnmHeader read_pnm_header(Bytes bytes) {
  PnmHeader header{static_cast<char>(bytes[1])};
  constexpr size_t kAnyLength = SIZE_MAX;
  Numbers numbers(bytes, 2);
  header.width = numbers.next(kAnyLength).value_or(0);
  header.height = numbers.next(kAnyLength).value_or(0);
  header.maxval = is_bits(header) ? 1 : numbers.next(kAnyLength).value_or(0);
  header.whole = !numbers.at_end() && is_space(bytes[numbers.at()]);
  header.data = numbers.at() + (header.whole ? 1 : 0);
  return header;
}

cv::Mat decode_pnm(Bytes bytes) {
  const PnmHeader header = read_pnm_header(bytes);
  check_header(header, bytes);
  const std::vector<uint8_t> levels = make_levels(header);
  const size_t repeats = is_color(header) ? 1 : 3;
  std::vector<uint16_t> row(header.width * 3 / repeats);
  cv::Mat image(static_cast<int>(header.height), static_cast<int>(header.width), CV_8UC3);
  Samples samples(header, bytes);
  for (int y = 0; y < image.rows; ++y) {
    samples.read_row(row);
    uint8_t* out = image.ptr(y);
    for (const uint16_t value : row) out = std::fill_n(out, repeats, levels[value]);
  }
  return image;
}

}  // namespace last
