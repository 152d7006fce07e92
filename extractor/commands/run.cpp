#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/cli/version.h"
#include "common/error.h"
#include "extractor/commands/bad_image_status.h"
#include "extractor/commands/commands.h"
#include "extractor/commands/dry_run.h"
#include "extractor/commands/json_text.h"
#include "extractor/commands/layers.h"
#include "extractor/commands/run_options.h"
#include "extractor/images/image_list.h"
#include "extractor/pipeline/bad_images.h"
#include "extractor/pipeline/extraction.h"

namespace last {
namespace {

namespace fs = std::filesystem;

// {"features": all that changes them, "run": the rest}. The batch size belongs to neither alone: it
// changes last bits, and the store compares it by itself.
nlohmann::json make_config(const ExtractorRunOptions& options,
                           const DeviceOptions::Resolved& compute,
                           const Preprocessing& preprocessing, const Backbone& backbone,
                           const std::vector<int64_t>& layers) {
  return {{"features",
           {{"weights_sha256", backbone.weights_sha256},
            {"model", backbone.report.config},
            {"preprocessing", preprocessing.to_json()},
            {"layers", layers},
            {"store", dtype_name(options.store)},
            {"precision", dtype_name(compute.precision)},
            {"views", options.views.to_json()}}},
          {"run",
           {{"batch_size", compute.batch_size},
            {"weights", options.model.resolve().weights},
            {"images", options.images.images()},
            {"device", compute.device.str()},
            {"max_pixels", options.images.max_pixels()}}}};
}

// What is only usual, and what the user may not expect.
void print_notices(const BackboneReport& report) {
  for (const Decision& decision : report.decisions) {
    if (!decision.assumed) continue;
    log_info(concat("assuming ", decision.what, " ", json_text(decision.value), ": ",
                    decision.source, " (", decision.option, " changes it)"));
  }
  for (const std::string& note : report.notes) log_info(note);
}

std::string size_text(int64_t width, int64_t height) { return concat(width, "x", height); }

// 224 is what most models have; of one that has another, the user may not have thought of it.
void warn_of_own_size(const Backbone& backbone, const Preprocessing& preprocessing) {
  if (!backbone.own_image) return;
  const auto [height, width] = *backbone.own_image;
  if (height == preprocessing.height && width == preprocessing.width) return;
  log_warning(
      concat("the model's own size is ", size_text(width, height), ", images are resized to ",
             size_text(preprocessing.width, preprocessing.height), ": --resize ",
             width == height ? std::to_string(width) : size_text(width, height), " keeps its own"));
}

int exit_status(const ExtractionResult& result, const ExtractorRunOptions& options,
                const std::string& path) {
  return bad_image_status(result.bad_images, bad_images_path(path), options.allow_bad);
}

void check_target(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  std::error_code code;
  if (!folder.empty()) fs::create_directories(folder, code);
  if (code) fail("--cache ", path, ": can't make the folder: ", code.message());
}

}  // namespace

int extractor_run(const std::vector<std::string>& arguments) {
  const std::optional<ExtractorRunOptions> parsed = parse_extractor_run_options(arguments);
  if (!parsed) return kExitDone;
  const ExtractorRunOptions& options = *parsed;
  install_interrupt_handlers(options.time_limit);
  const ImageList list = read_image_list(options.images.images());
  const DeviceOptions::Resolved compute = options.device.resolve();
  const RowPlan plan(static_cast<int64_t>(list.size()), options.views.count, compute.batch_size,
                     options.shard.index, options.shard.count);

  Preprocessing preprocessing = options.preprocessing;
  const Backbone backbone =
      load_backbone(options.model.resolve(preprocessing), compute.device, compute.precision);
  print_notices(backbone.report);
  if (!options.resize_is_given) warn_of_own_size(backbone, preprocessing);
  options.images.resolve_statistics(backbone, &preprocessing);
  const std::vector<int64_t> layers = parse_layers(options.layers, backbone.vit.config().depth);
  log_info(concat(backbone.vit.config().name(), ", ", layers.size(), " maps, ", plan.rows(),
                  plan.rows() == 1 ? " row" : " rows"));

  Manifest manifest;
  manifest.dtype = options.store;
  manifest.backbone = backbone.info(layers);
  manifest.config = make_config(options, compute, preprocessing, backbone, layers);
  manifest.created_by = concat("extractor ", kVersion);
  manifest.thumbnail_size = options.thumbnails ? kThumbnailSize : 0;
  manifest.shard_index = options.shard.index;
  manifest.shard_count = options.shard.count;

  const std::string path = shard_path(options.cache, options.shard.index, options.shard.count);
  const bool on_gpu = compute.device.is_cuda();
  manifest = shard_manifest(std::move(manifest), list, plan);
  std::optional<ReusableRows> reuse;
  if (!options.reuse.empty()) reuse.emplace(options.reuse, manifest, compute.batch_size);
  const Extraction extraction{
      path,
      list,
      plan,
      std::move(manifest),
      {preprocessing, options.views, options.images.max_pixels(), compute.decode_threads, on_gpu,
       options.thumbnails ? kThumbnailSize : 0},
      on_gpu ? 4 : 1,
      compute.batch_size,
      reuse ? &*reuse : nullptr};
  check_interrupt("nothing was done");
  if (options.dry_run) {
    if (fs::exists(path)) check_same_store(extraction, FeatureStoreReader(path));
    print_dry_run(extraction, backbone.vit, compute.batch_size);
    return kExitDone;
  }
  if (fs::exists(path)) {
    log_info(concat(path, " is there already; checking it"));
    return exit_status(check_finished(extraction), options, path);
  }
  check_target(path);
  return exit_status(extract(extraction, backbone.vit), options, path);
}

}  // namespace last
