#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace last {

// The bytes of an image file. BadImage with the reason where there is no file that could be one: it
// is missing, not a regular file, empty, or not ours to read. An Error where the system couldn't
// get at it (EIO, ESTALE, no file descriptor left..): that says nothing about the image.
std::vector<uint8_t> read_image_file(const std::string& path);

}  // namespace last
