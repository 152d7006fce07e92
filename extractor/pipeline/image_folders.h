#pragma once

#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <unordered_map>

#include "extractor/images/image_list.h"

namespace last {

// The folders of a list's images, as they are when a run starts. A file that is missing from one is
// a bad image; but where the folder itself goes while the run lasts (an unmounted disk, an outage
// of a network file system), nothing is known about its images. Thread-safe.
class ImageFolders {
 public:
  explicit ImageFolders(const ImageList& list);

  // To be called where the image at `path` is missing: an Error where its folder was there at the
  // start and isn't any more, or lies on another device: an unmounted disk leaves an empty folder.
  // (Not its inode: some file systems number anew what they have not seen for a while.)
  void require_folder_of(const std::string& path) const;

  // The folders that are missing or empty: as the list gives them, and their paths.
  const std::map<std::string, std::string>& absent() const { return absent_; }

 private:
  static std::optional<dev_t> device_of(const std::string& folder);

  std::unordered_map<std::string, dev_t> folders_;  // those that are there
  std::map<std::string, std::string> absent_;
};

}  // namespace last
