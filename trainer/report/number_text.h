#pragma once

#include <string>

namespace last {

// The shortest text that reads back as the same number; empty for NaN.
std::string shortest(double value);
// With a fixed number of decimals; empty for NaN.
std::string fixed(double value, int decimals);

}  // namespace last
