#pragma once

#include <cstdint>
#include <string>

namespace last {

// Says how many images were bad and that `list` names them. Returns the program's exit status: that
// for bad images where they are more than `allowed` (--allow-bad).
int bad_image_status(int64_t bad_images, const std::string& list, int64_t allowed);

}  // namespace last
