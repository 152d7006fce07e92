#pragma once

#include <chrono>
#include <string>

namespace last {

// Adds a session to cost.json: from construction to destruction, also when it ends by an exception;
// a killed session is not counted.
class RunCost {
 public:
  explicit RunCost(std::string path);
  ~RunCost();
  RunCost(const RunCost&) = delete;
  RunCost& operator=(const RunCost&) = delete;

 private:
  void save() const;

  std::string path_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace last
