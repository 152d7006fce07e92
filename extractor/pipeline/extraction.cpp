#include "extractor/pipeline/extraction.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "common/feature_store/reader.h"
#include "common/feature_store/writer.h"
#include "extractor/pipeline/bad_images.h"
#include "extractor/pipeline/image_digests.h"
#include "extractor/pipeline/row_writer.h"

namespace last {
namespace {

constexpr double kPatience = 0.1;  // seconds between looks for an interrupt

std::vector<int64_t> missing_batches(const RowPlan& plan, const FeatureStoreWriter& store) {
  std::vector<int64_t> batches;
  for (int64_t batch = 0; batch < plan.batches(); ++batch) {
    bool missing = false;
    for (int64_t row = plan.batch_begin(batch); row < plan.batch_end(batch); ++row) {
      missing = missing || store.state(row) == RowState::kAbsent;
    }
    if (missing) batches.push_back(batch);
  }
  return batches;
}

void check_stored_rows(const Extraction& job, const FeatureStoreWriter& store) {
  log_info(concat("resuming: ", store.rows_stored(), " of ", job.plan.rows(),
                  " rows are there, checking that their images are the same"));
  check_image_digests(job.list, job.plan, job.loader.threads, job.path,
                      [&](int64_t row) -> std::optional<Sha256Digest> {
                        if (store.state(row) != RowState::kStored) return std::nullopt;
                        return store.image_digest(row);
                      });
  check_interrupt(kHowToGoOn);
}

void note_bad_images(const Extraction& job, const ImageBatch& batch, BadImages& bad) {
  for (size_t i = 0; i < batch.images.size(); ++i) {
    const std::string& reason = batch.images[i].bad_reason;
    if (reason.empty()) continue;
    const int64_t image = job.plan.image_of(batch.first_row + static_cast<int64_t>(i));
    bad.add(image, job.list.ids[static_cast<size_t>(image)], reason);
  }
}

void compute_rows(const Extraction& job, const Vit& vit, FeatureStoreWriter& store,
                  BadImages& bad) {
  const std::vector<int64_t> batches = missing_batches(job.plan, store);
  int64_t rows = 0;
  for (const int64_t batch : batches)
    rows += job.plan.batch_end(batch) - job.plan.batch_begin(batch);
  Progress progress("extracting", "rows", job.plan.rows(), job.plan.rows() - rows);
  int64_t done = job.plan.rows() - rows;

  // The loader goes first at the end: nothing waits for it any more.
  RowWriter writer(store, job.write_threads);
  ImageLoader loader(job.list, job.plan, batches, job.loader);
  while (!loader.finished()) {
    if (interrupt_reason()) {
      writer.flush();
      check_interrupt(kHowToGoOn);
    }
    std::optional<ImageBatch> batch = loader.next(kPatience);
    if (!batch) continue;
    note_bad_images(job, *batch, bad);
    at::Tensor maps =
        vit.maps(batch->pixels, job.manifest.backbone.layers, job.manifest.dtype).cpu();
    done += static_cast<int64_t>(batch->images.size());
    writer.write(std::move(*batch), std::move(maps));
    progress.update(done);
  }
  writer.flush();
  progress.finish();
}

// A store doesn't say why an image was bad.
BadImages bad_images_of(const Extraction& job, const FeatureStoreReader& store) {
  BadImages bad;
  for (int64_t row = 0; row < job.plan.rows(); ++row) {
    if (store.state(row) != RowState::kBadImage) continue;
    const int64_t image = job.plan.image_of(row);
    bad.add(image, job.list.ids[static_cast<size_t>(image)], "bad when extracted");
  }
  return bad;
}

// Where a list gives no readable image at all, it may have been written for another program.
std::string hint_about(const ImageList& list) {
  const auto has_tab = [](const std::string& text) { return text.find('\t') != std::string::npos; };
  const bool tabs = std::ranges::any_of(list.ids, has_tab) ||
                    std::ranges::any_of(list.labels, [&](const LabelColumn& column) {
                      return std::ranges::any_of(column.classes, has_tab);
                    });
  return tabs ? " (the list holds tabs: a space separates path and label)" : "";
}

}  // namespace

ExtractionResult extract(const Extraction& job, const Vit& vit) {
  FeatureStoreWriter store(job.path, job.manifest);
  if (store.resumed()) check_stored_rows(job, store);
  BadImages bad;
  compute_rows(job, vit, store, bad);
  if (store.rows_stored() == 0) {
    fail("not one of ", bad.count(), " images can be read; the first: ", bad.first(),
         hint_about(job.list));
  }
  // The list of bad images is there before the store is.
  bad.write(bad_images_path(job.path));
  store.finish();
  return {bad.count()};
}

ExtractionResult check_finished(const Extraction& job) {
  const FeatureStoreReader store(job.path);
  const std::string difference = first_difference(store.manifest(), job.manifest);
  if (!difference.empty()) {
    fail("\"", job.path, "\" exists and was made differently: ", difference,
         "; name another --cache, or delete it to extract again");
  }
  check_image_digests(
      job.list, job.plan, job.loader.threads, job.path,
      [&](int64_t row) -> std::optional<Sha256Digest> { return store.image_digest(row); });
  check_interrupt(kHowToGoOn);
  const BadImages bad = bad_images_of(job, store);
  const std::string list = bad_images_path(job.path);
  if (bad.count() > 0 && !std::filesystem::exists(list)) bad.write(list);
  return {bad.count()};
}

Manifest shard_manifest(Manifest whole, const ImageList& list, const RowPlan& plan) {
  whole.rows = plan.rows();
  whole.image_list_sha256 = list.sha256;
  for (const LabelColumn& column : list.labels) {
    whole.labels.push_back({column.name, {}, column.classes});
  }
  for (int64_t row = 0; row < plan.rows(); ++row) {
    const auto image = static_cast<size_t>(plan.image_of(row));
    whole.sample_ids.push_back(list.ids[image]);
    whole.views.push_back(plan.view_of(row));
    for (size_t column = 0; column < list.labels.size(); ++column) {
      whole.labels[column].labels.push_back(list.labels[column].labels[image]);
    }
  }
  return whole;
}

}  // namespace last
