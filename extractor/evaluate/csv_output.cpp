#include "extractor/evaluate/csv_output.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

namespace last {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

template <class Number>
std::string shortest_text(Number value) {
  if (std::isnan(value)) return "";
  std::array<char, 40> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

}  // namespace

CsvOutput::CsvOutput(std::string path)
    : path_(std::move(path)), file_(File::create(path_ + ".partial")) {}

CsvOutput::~CsvOutput() {
  if (!published_) std::remove((path_ + ".partial").c_str());
}

void CsvOutput::write(const std::string& text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void CsvOutput::flush() {
  file_.write_at(buffer_.data(), buffer_.size(), size_);
  size_ += buffer_.size();
  buffer_.clear();
}

void CsvOutput::finish() {
  flush();
  file_.sync();
  file_.close();
}

void CsvOutput::publish() {
  publish_file(path_ + ".partial", path_);
  published_ = true;
}

std::string number_text(float value) { return shortest_text(value); }
std::string number_text(double value) { return shortest_text(value); }

}  // namespace last
