#include "extractor/pipeline/image_folders.h"

#include <filesystem>
#include <sys/stat.h>

#include "common/cli/interrupt.h"
#include "common/error.h"

namespace last {
namespace {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

std::optional<dev_t> ImageFolders::device_of(const std::string& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return std::nullopt;
  return status.st_dev;
}

ImageFolders::ImageFolders(const ImageList& list) {
  std::string last;
  for (const std::string& path : list.paths) {
    const std::string folder = folder_of(path);
    if (folder == last || folders_.contains(folder)) continue;
    last = folder;
    if (const auto found = device_of(folder)) folders_.emplace(folder, *found);
  }
}

void ImageFolders::require_folder_of(const std::string& path) const {
  const std::string folder = folder_of(path);
  const auto before = folders_.find(folder);
  if (before == folders_.end()) return;
  const auto now = device_of(folder);
  if (now == before->second) return;
  fail("the folder \"", folder, "\" ", now ? "lies on another device than before" : "is gone",
       ", and with it the image \"", path, "\": was a disk unmounted? Once the images are back, ",
       kHowToGoOn);
}

}  // namespace last
