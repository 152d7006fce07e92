#pragma once

#include <string>

namespace last {

// Whether `text` is UTF-8, which JSON and HDF5's texts have to be.
bool is_utf8(const std::string& text);

}  // namespace last
