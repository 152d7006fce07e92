#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace last {

// The images that could not be used, for NAME.bad.csv. Ordered by their place in the list.
class BadImages {
 public:
  void add(int64_t image, const std::string& id, const std::string& reason);
  void remove(int64_t image) { entries_.erase(image); }
  int64_t count() const { return static_cast<int64_t>(entries_.size()); }
  // "a.jpg: no such file"; empty without any.
  std::string first() const;

  // RFC 4180, header path,reason.
  std::string text() const;
  // Writes that to `path`, or removes an older file where no image is bad.
  void write(const std::string& path) const;

 private:
  struct Entry {
    std::string id;
    std::string reason;
  };
  std::map<int64_t, Entry> entries_;
};

// X/N.h5 -> X/N.bad.csv
std::string bad_images_path(const std::string& store_path);

}  // namespace last
