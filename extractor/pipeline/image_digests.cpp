#include "extractor/pipeline/image_digests.h"

#include <string>
#include <vector>

#include "common/cli/interrupt.h"
#include "common/error.h"
#include "common/threads/thread_pool.h"
#include "extractor/images/bad_image.h"
#include "extractor/images/image_file.h"

namespace last {
namespace {

struct ImageFile {
  Sha256Digest digest = {};
  std::string problem;  // why it can't be read
};

ImageFile look_at(const std::string& path) {
  try {
    const std::vector<uint8_t> bytes = read_image_file(path);
    return {sha256(bytes.data(), bytes.size()), ""};
  } catch (const BadImage& error) {
    return {{}, error.what()};
  }
}

}  // namespace

void check_image_digests(const ImageList& list, const RowPlan& plan, int threads,
                         const std::string& store,
                         const std::function<std::optional<Sha256Digest>(int64_t row)>& recorded) {
  const std::vector<int64_t> starts = plan.image_starts(plan.rows());
  ThreadPool(threads).for_each(static_cast<int64_t>(starts.size()) - 1, [&](int64_t i, int) {
    if (interrupt_reason()) return;
    const int64_t* rows = &starts[static_cast<size_t>(i)];  // from, to
    const auto image = static_cast<size_t>(plan.image_of(rows[0]));
    std::optional<ImageFile> found;
    for (int64_t row = rows[0]; row < rows[1]; ++row) {
      const std::optional<Sha256Digest> expected = recorded(row);
      if (!expected) continue;
      if (!found) found = look_at(list.paths[image]);
      if (found->digest == *expected) continue;
      if (!found->problem.empty()) {
        fail("\"", store, "\" is stale: the image \"", list.ids[image],
             "\" can't be read any more (", found->problem,
             "); restore it and run the same command again, or delete the cache and extract again");
      }
      if (*expected == Sha256Digest{}) {
        fail("\"", store, "\" lacks the image \"", list.ids[image],
             "\", which could not be read when its rows were due and can be now; to have "
             "it as well, extract into another --cache, with --reuse of this one");
      }
      fail("\"", store, "\" is stale: the image \"", list.ids[image],
           "\" has changed since its features were stored; delete the cache and extract again");
    }
  });
}

}  // namespace last
