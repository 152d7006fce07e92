#include "extractor/commands/bad_image_status.h"

#include "common/cli/log.h"
#include "common/cli/program.h"
#include "common/error.h"

namespace last {

int bad_image_status(int64_t bad_images, const std::string& list, int64_t allowed) {
  if (bad_images == 0) return kExitDone;
  const std::string message =
      concat(bad_images, bad_images == 1 ? " bad image" : " bad images", ", listed in ", list);
  if (bad_images <= allowed) {
    log_info(message);
    return kExitDone;
  }
  log_warning(concat(message, ", more than --allow-bad ", allowed));
  return kExitBadImages;
}

}  // namespace last
