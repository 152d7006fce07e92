#include "extractor/pipeline/bad_images.h"

#include <filesystem>

#include "common/io/csv.h"
#include "common/io/file.h"

namespace last {
void BadImages::add(int64_t image, const std::string& id, const std::string& reason) {
  entries_[image] = {id, reason};
}

std::string BadImages::first() const {
  if (entries_.empty()) return "";
  const Entry& entry = entries_.begin()->second;
  return entry.id + ": " + entry.reason;
}

std::string BadImages::text() const {
  std::string text = "path,reason\n";
  for (const auto& [image, entry] : entries_) {
    text += csv_field(entry.id) + "," + csv_field(entry.reason) + "\n";
  }
  return text;
}

void BadImages::write(const std::string& path) const {
  if (entries_.empty()) {
    std::filesystem::remove(path);
  } else {
    write_file_atomically(path, text());
  }
}

std::string bad_images_path(const std::string& store_path) {
  return std::filesystem::path(store_path).replace_extension(".bad.csv").string();
}

}  // namespace last
