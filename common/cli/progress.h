#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace last {

double seconds_since(std::chrono::steady_clock::time_point start);

// A bar on a terminal, a line every few seconds elsewhere, nothing with --quiet: done, total, rate
// and remaining time. Used by one thread.
class Progress {
 public:
  // `label` ("extracting"), `unit` ("images"); `already_done` of `total` were finished by an
  // earlier run and don't count for the rate.
  Progress(std::string label, std::string unit, int64_t total, int64_t already_done = 0);
  // `note` is appended ("best 91.2 %").
  void update(int64_t done, const std::string& note = "");
  // The final line, with the average rate.
  void finish(const std::string& note = "");

 private:
  std::string line(int64_t done, const std::string& note) const;
  void show(const std::string& text, bool last);

  std::string label_;
  std::string unit_;
  int64_t total_;
  int64_t already_done_;
  int64_t done_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point shown_;
};

}  // namespace last
