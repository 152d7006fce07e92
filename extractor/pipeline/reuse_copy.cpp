#include "extractor/pipeline/reuse_copy.h"

#include <atomic>
#include <vector>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/error.h"
#include "common/threads/thread_pool.h"
#include "extractor/images/bad_image.h"
#include "extractor/images/decode.h"
#include "extractor/images/image_file.h"
#include "extractor/pipeline/thumbnail.h"

namespace last {
namespace {

// Copies the rows begin..end, all of one image; returns how many.
int64_t copy_rows(const Extraction& job, FeatureStoreWriter& store, int64_t begin, int64_t end) {
  const auto image = static_cast<size_t>(job.plan.image_of(begin));
  const std::vector<uint8_t> bytes = read_image_file(job.list.paths[image]);
  const Sha256Digest digest = sha256(bytes.data(), bytes.size());
  std::vector<char> data;
  std::vector<uint8_t> thumbnail;
  int64_t copied = 0;
  for (int64_t row = begin; row < end; ++row) {
    if (store.state(row) != RowState::kAbsent) continue;
    const auto found = job.reuse->find(digest, job.plan.view_of(row), job.list.ids[image]);
    if (!found) continue;
    const int64_t size = job.loader.thumbnail_size;
    if (size > 0 && thumbnail.empty()) {
      thumbnail.resize(static_cast<size_t>(size * size * 3));
      make_thumbnail(decode_image(bytes, job.loader.max_pixels), static_cast<int>(size),
                     thumbnail.data());
    }
    data.resize(static_cast<size_t>(store.manifest().row_bytes()));
    job.reuse->read(*found, data.data());
    store.write_row(row, data.data(), digest, thumbnail.empty() ? nullptr : thumbnail.data());
    ++copied;
  }
  return copied;
}

}  // namespace

void copy_reusable_rows(const Extraction& job, FeatureStoreWriter& store) {
  const int64_t rows = job.plan.rows();
  const std::vector<int64_t> starts = job.plan.image_starts(rows - rows % job.batch_size);
  std::atomic<int64_t> copied{0};
  const auto images = static_cast<int64_t>(starts.size()) - 1;
  ThreadPool(job.loader.threads).for_each(images, [&](int64_t i, int) {
    if (interrupt_reason()) return;
    const auto image = static_cast<size_t>(i);
    try {
      copied += copy_rows(job, store, starts[image], starts[image + 1]);
    } catch (const BadImage&) {
      // Computing the row will say so.
    }
  });
  check_interrupt(kHowToGoOn);
  log_info(concat(copied.load(), " of ", rows, " rows copied from ", job.reuse->path()));
}

}  // namespace last
