#include "extractor/pipeline/image_folders.h"

#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unordered_set>

#include "common/cli/interrupt.h"
#include "common/error.h"

namespace last {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

std::optional<dev_t> ImageFolders::device_of(const std::string& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) return std::nullopt;
  return status.st_dev;
}

ImageFolders::ImageFolders(const ImageList& list) {
  std::unordered_set<std::string> seen;
  std::string last;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string folder = folder_of(list.paths[i]);
    if (folder == last || !seen.insert(folder).second) continue;
    last = folder;
    const auto device = device_of(folder);
    if (device) folders_.emplace(folder, *device);
    std::error_code code;
    if (!device || fs::is_empty(folder, code)) absent_.emplace(folder_of(list.ids[i]), folder);
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
