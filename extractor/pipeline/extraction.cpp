#include "extractor/pipeline/extraction.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "common/feature_store/reader.h"
#include "common/feature_store/writer.h"
#include "extractor/images/bad_image.h"
#include "extractor/images/image_file.h"
#include "extractor/pipeline/bad_images.h"
#include "extractor/pipeline/image_digests.h"
#include "extractor/pipeline/image_folders.h"
#include "extractor/pipeline/reuse_copy.h"
#include "extractor/pipeline/row_writer.h"

namespace last {
namespace {

constexpr double kPatience = 0.1;  // seconds between looks for an interrupt

using Batches = std::vector<std::vector<int64_t>>;

bool is_absent(const FeatureStoreWriter& store, int64_t row) {
  return store.state(row) == RowState::kAbsent;
}

std::vector<int64_t> rows_of_batch(const RowPlan& plan, int64_t batch) {
  std::vector<int64_t> rows(static_cast<size_t>(plan.batch_end(batch) - plan.batch_begin(batch)));
  std::iota(rows.begin(), rows.end(), plan.batch_begin(batch));
  return rows;
}

Batches missing_batches(const RowPlan& plan, const FeatureStoreWriter& store) {
  Batches batches;
  for (int64_t batch = 0; batch < plan.batches(); ++batch) {
    std::vector<int64_t> rows = rows_of_batch(plan, batch);
    if (std::ranges::any_of(rows, [&](int64_t row) { return is_absent(store, row); })) {
      batches.push_back(std::move(rows));
    }
  }
  return batches;
}

// Absent rows of all whole batches, gathered into batches of that size: a product's bits may depend
// on how many rows it has, but not on which. The last one is filled up with rows that are there. An
// incomplete batch at the end stays what it is.
Batches gathered_batches(const RowPlan& plan, const FeatureStoreWriter& store, int64_t batch_size) {
  Batches batches;
  const int64_t whole_end = plan.rows() - plan.rows() % batch_size;
  std::vector<int64_t> absent, present;
  for (int64_t row = 0; row < whole_end; ++row) {
    (is_absent(store, row) ? absent : present).push_back(row);
  }
  const auto size = static_cast<size_t>(batch_size);
  for (size_t at = 0; at < absent.size(); at += size) {
    const size_t end = std::min(at + size, absent.size());
    std::vector<int64_t> rows(absent.begin() + static_cast<std::ptrdiff_t>(at),
                              absent.begin() + static_cast<std::ptrdiff_t>(end));
    for (size_t i = 0; rows.size() < size; ++i) rows.push_back(present[i]);
    std::ranges::sort(rows);
    batches.push_back(std::move(rows));
  }
  if (whole_end < plan.rows()) {
    std::vector<int64_t> rows = rows_of_batch(plan, plan.batches() - 1);
    if (std::ranges::any_of(rows, [&](int64_t row) { return is_absent(store, row); })) {
      batches.push_back(std::move(rows));
    }
  }
  return batches;
}

constexpr char kAbsentFolders[] = "absent_folders";

// Their names as a configuration holds them: what is no UTF-8 is replaced.
std::string name_in_config(const std::string& folder) {
  const nlohmann::json name = folder;
  return nlohmann::json::parse(name.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

// With the folders of images that are absent when the store is created: a run that goes on with it
// can tell what has vanished since.
Manifest with_absent_folders(Manifest manifest, const ImageFolders& folders) {
  nlohmann::json names = nlohmann::json::array();
  for (const auto& [name, path] : folders.absent()) names.push_back(name_in_config(name));
  if (!names.empty()) manifest.config["run"][kAbsentFolders] = std::move(names);
  return manifest;
}

void require_folders(const Extraction& job, const ImageFolders& folders, const Manifest& stored) {
  const auto run = stored.config.value("run", nlohmann::json::object());
  const auto before = run.value(kAbsentFolders, std::set<std::string>());
  for (const auto& [name, path] : folders.absent()) {
    if (before.contains(name_in_config(name))) continue;
    fail("the folder \"", path, "\" is gone or empty, and was not when \"", job.path,
         ".partial\" was begun: was a disk unmounted? Once the images are back, ", kHowToGoOn,
         "; to begin anew without them, delete that file");
  }
}

void warn_of_other_device(const Extraction& job, const Manifest& stored) {
  const std::string difference = device_difference(stored, job.manifest, "in the store", "now");
  if (difference.empty()) return;
  log_warning(concat("\"", job.path, ".partial\": ", difference,
                     ": rows of both may differ in their last bits"));
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

// Of a batch that is computed again some rows may be stored: what happens to their images now is
// of no account.
void note_bad_images(const Extraction& job, const ImageBatch& batch,
                     const FeatureStoreWriter& store, BadImages& bad) {
  for (size_t i = 0; i < batch.images.size(); ++i) {
    const std::string& reason = batch.images[i].bad_reason;
    if (reason.empty() || store.state(batch.rows[i]) == RowState::kStored) continue;
    const int64_t image = job.plan.image_of(batch.rows[i]);
    bad.add(image, job.list.ids[static_cast<size_t>(image)], reason);
  }
}

void compute_rows(const Extraction& job, const ImageFolders& folders, const Vit& vit,
                  FeatureStoreWriter& store, BadImages& bad) {
  const Batches batches = job.reuse != nullptr ? gathered_batches(job.plan, store, job.batch_size)
                                               : missing_batches(job.plan, store);
  int64_t rows = 0;
  for (const auto& batch : batches) rows += static_cast<int64_t>(batch.size());
  Progress progress("extracting", "rows", job.plan.rows(), job.plan.rows() - rows);
  int64_t done = job.plan.rows() - rows;

  // The loader goes first at the end: nothing waits for it any more.
  RowWriter writer(store, job.write_threads);
  ImageLoader loader(job.list, folders, job.plan, batches, job.loader);
  while (!loader.finished()) {
    if (interrupt_reason()) {
      writer.flush();
      check_interrupt(kHowToGoOn);
    }
    std::optional<ImageBatch> batch = loader.next(kPatience);
    if (!batch) continue;
    note_bad_images(job, *batch, store, bad);
    at::Tensor maps =
        vit.maps(batch->pixels, job.manifest.backbone.layers, job.manifest.dtype).cpu();
    done += static_cast<int64_t>(batch->images.size());
    writer.write(std::move(*batch), std::move(maps));
    progress.update(done);
  }
  writer.flush();
  progress.finish();
}

// Shows how far a check of rows that are there already is, and stops it where we are asked to stop.
RowProgress watch(const std::string& label) {
  return [label, progress = std::shared_ptr<Progress>()](int64_t done, int64_t total) mutable {
    check_interrupt(kHowToGoOn);
    if (!progress) progress = std::make_shared<Progress>(label, "rows", total);
    progress->update(done);
    if (done == total) progress->finish();
  };
}

bool is_readable(const std::string& path) {
  try {
    read_image_file(path);
    return true;
  } catch (const BadImage&) {
    return false;
  }
}

// Images that couldn't be read, but can be now: their disk was away for a while, say. Their rows
// become absent again. Returns how many these are.
int64_t give_second_chance(const Extraction& job, FeatureStoreWriter& store, BadImages& bad) {
  int64_t rows = 0, looked_at = -1;
  bool readable = false;
  for (int64_t row = 0; row < job.plan.rows() && !interrupt_reason(); ++row) {
    if (store.state(row) != RowState::kBadImage) continue;
    if (store.image_digest(row) != Sha256Digest{}) continue;  // it was read, and is no image
    const int64_t image = job.plan.image_of(row);
    if (image != looked_at) readable = is_readable(job.list.paths[static_cast<size_t>(image)]);
    looked_at = image;
    if (!readable) continue;
    store.reset_row(row);
    bad.remove(image);
    ++rows;
  }
  return rows;
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
  const ImageFolders folders(job.list);
  FeatureStoreWriter store(job.path, with_absent_folders(job.manifest, folders),
                           watch("checking stored rows"));
  if (store.resumed()) {
    require_folders(job, folders, store.manifest());
    warn_of_other_device(job, store.manifest());
    check_stored_rows(job, store);
  }
  if (job.reuse != nullptr) copy_reusable_rows(job, store);
  BadImages bad;
  compute_rows(job, folders, vit, store, bad);
  while (const int64_t rows = give_second_chance(job, store, bad)) {
    log_info(concat("images that could not be read are readable now: ", rows, " rows follow"));
    compute_rows(job, folders, vit, store, bad);
  }
  check_interrupt(kHowToGoOn);
  if (store.rows_stored() == 0) {
    fail("not one of ", bad.count(), " images can be read; the first: ", bad.first(),
         hint_about(job.list));
  }
  // The list of bad images is there before the store is.
  bad.write(bad_images_path(job.path));
  store.finish(watch("taking statistics"));
  return {bad.count()};
}

void check_same_store(const Extraction& job, const FeatureStoreReader& store) {
  const std::string difference = first_difference(store.manifest(), job.manifest);
  if (!difference.empty()) {
    fail("\"", job.path, "\" exists and was made differently: ", difference,
         "; name another --cache, or delete it to extract again");
  }
}

ExtractionResult check_finished(const Extraction& job) {
  const FeatureStoreReader store(job.path);
  check_same_store(job, store);
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
  whole.first_row = plan.first_row();
  whole.total_rows = static_cast<int64_t>(list.size()) * plan.views();
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
