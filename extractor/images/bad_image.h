#pragma once

#include "common/error.h"

namespace last {

// One image that can't be used; what() is the reason without the path. It costs its own rows only,
// never the run.
class BadImage : public Error {
 public:
  using Error::Error;
};

}  // namespace last
