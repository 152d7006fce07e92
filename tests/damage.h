#pragma once

#include <cstddef>
#include <fstream>
#include <functional>
#include <random>
#include <string>

namespace last {

// Not synced to the disk, as what is written for good is: these are many.
inline void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// Changes a file's bytes at random, always in the same way: `flips` times one byte, then
// `truncations` times the end. Calls check(damaged bytes, what was done) for each.
inline void for_each_damage(
    const std::string& intact, int flips, int truncations,
    const std::function<void(const std::string&, const std::string&)>& check) {
  std::mt19937 random(0);
  std::uniform_int_distribution<size_t> position(0, intact.size() - 1);
  std::uniform_int_distribution<int> change(1, 255);
  for (int i = 0; i < flips; ++i) {
    std::string bytes = intact;
    const size_t offset = position(random);
    const int bits = change(random);
    bytes[offset] = static_cast<char>(bytes[offset] ^ bits);
    check(bytes, "byte " + std::to_string(offset) + " ^ " + std::to_string(bits));
  }
  for (int i = 0; i < truncations; ++i) {
    const size_t size = position(random);
    check(intact.substr(0, size), "cut to " + std::to_string(size) + " bytes");
  }
}

}  // namespace last
