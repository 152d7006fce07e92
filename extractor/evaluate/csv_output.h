#pragma once

#include <cstdint>
#include <string>

#include "common/io/file.h"

namespace last {

// A text file that is written piece by piece as PATH.partial, and has its name only when it is
// whole. Memory does not grow with it.
class CsvOutput {
 public:
  explicit CsvOutput(std::string path);
  ~CsvOutput();  // removes what was not published
  CsvOutput(const CsvOutput&) = delete;
  CsvOutput& operator=(const CsvOutput&) = delete;

  void write(const std::string& text);
  // Everything reaches the disk; the file is still called PATH.partial.
  void finish();
  // After finish(): the rename.
  void publish();

 private:
  void flush();

  std::string path_;
  File file_;
  std::string buffer_;
  uint64_t size_ = 0;
  bool published_ = false;
};

// The shortest text that reads back as the same number; empty for NaN.
std::string number_text(float value);
std::string number_text(double value);

}  // namespace last
