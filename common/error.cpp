#include "common/error.h"

#include <cerrno>
#include <system_error>

namespace last {

void fail_errno(const std::string& what) {
  const int code = errno;
  throw Error(what + ": " + std::generic_category().message(code));
}

}  // namespace last
