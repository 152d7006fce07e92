#pragma once

#include <cstdint>

namespace last {

// Bytes this process may still take: what the system says is available, or what is left of the
// memory limit of its control group, whichever is less.
int64_t available_memory();

}  // namespace last
