#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace last {

// What went wrong, in one line that a user can act on: what was being done, to which file (and
// where in it), what was expected, what was found, and what to do about it. The programs print
// `extractor: error: WHAT` and return 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A command line that can't be meant: exit status 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

// The work was stopped (Ctrl-C, SIGTERM, --time-limit) and can be resumed: exit status 4.
class Interrupted : public Error {
 public:
  using Error::Error;
};

// "a", 3, "b" -> "a3b"
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(concat(parts...));
}

template <class... Parts>
[[noreturn]] void fail_usage(const Parts&... parts) {
  throw UsageError(concat(parts...));
}

// `what: strerror(errno)`, errno being that of the call that just failed.
[[noreturn]] void fail_errno(const std::string& what);

}  // namespace last
