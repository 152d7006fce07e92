#include <filesystem>
#include <iostream>
#include <map>

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sqrt.h>
#include <boost/program_options/value_semantic.hpp>

#include "common/cli/log.h"
#include "common/cli/option_parser.h"
#include "common/cli/parse.h"
#include "common/cli/program.h"
#include "common/error.h"
#include "common/feature_store/reader.h"
#include "extractor/commands/commands.h"
#include "extractor/commands/json_text.h"

namespace last {
namespace {

using nlohmann::json;

constexpr int64_t kMaxListedClasses = 10'000;  // with more, rows_of_class is left out

json describe_labels(const LabelColumn& column) {
  std::map<int64_t, int64_t> counts;
  for (const int32_t label : column.labels) ++counts[label];
  const int64_t unlabelled = counts.count(kUnlabelled) > 0 ? counts[kUnlabelled] : 0;
  const int64_t classes = column.classes.empty() ? (counts.empty() ? 0 : counts.rbegin()->first + 1)
                                                 : static_cast<int64_t>(column.classes.size());
  json result = {{"name", column.name},
                 {"classes", classes},
                 {"class_names", column.classes},
                 {"unlabelled", unlabelled}};
  if (classes <= kMaxListedClasses) {
    json rows_of_class = json::array();
    for (int64_t label = 0; label < classes; ++label) {
      const auto found = counts.find(label);
      rows_of_class.push_back(found == counts.end() ? 0 : found->second);
    }
    result["rows_of_class"] = rows_of_class;
  }
  return result;
}

// Per layer: mean over channels of the mean, and root mean square of the standard deviations.
json describe_statistics(const FeatureStoreReader& store) {
  const StoreStatistics statistics = store.statistics();
  const at::Tensor mean = statistics.mean.mean(1);
  const at::Tensor deviation = at::sqrt((statistics.std * statistics.std).mean(1));
  json result = json::array();
  for (int64_t i = 0; i < store.manifest().layers(); ++i) {
    result.push_back({{"layer", store.manifest().backbone.layers[static_cast<size_t>(i)]},
                      {"mean", mean[i].item<float>()},
                      {"std", deviation[i].item<float>()}});
  }
  return result;
}

json describe(const FeatureStoreReader& store) {
  const Manifest& manifest = store.manifest();
  const BackboneInfo& backbone = manifest.backbone;
  json labels = json::array();
  for (const LabelColumn& column : manifest.labels) labels.push_back(describe_labels(column));
  const auto stored = static_cast<int64_t>(store.stored_rows().size());
  int64_t bytes = 0;
  for (const std::string& file : store.shard_files()) {
    bytes += static_cast<int64_t>(std::filesystem::file_size(file));
  }
  return {{"files", store.shard_files()},
          {"bytes", bytes},
          {"rows", manifest.rows},
          {"stored_rows", stored},
          {"bad_rows", manifest.rows - stored},
          {"shape", {manifest.rows, manifest.layers(), backbone.tokens, backbone.dim}},
          {"dtype", dtype_name(manifest.dtype)},
          {"backbone",
           {{"name", backbone.name},
            {"weights_sha256", backbone.weights_sha256},
            {"depth", backbone.depth},
            {"dim", backbone.dim},
            {"tokens", backbone.tokens},
            {"prefix_tokens", backbone.prefix_tokens},
            {"has_cls_token", backbone.has_cls_token},
            {"grid", {backbone.grid_height, backbone.grid_width}},
            {"layers", backbone.layers},
            {"norm_eps", backbone.norm_eps}}},
          {"labels", labels},
          {"thumbnails", manifest.thumbnail_size},
          {"statistics", describe_statistics(store)},
          {"config", manifest.config},
          {"config_hash", manifest.config_hash()},
          {"image_list_sha256", manifest.image_list_sha256},
          {"created_by", manifest.created_by}};
}

void print_text(const json& store) {
  const json& shape = store["shape"];
  std::cout << "files        " << store["files"].size() << ", "
            << format_size(store["bytes"].get<double>()) << "\n"
            << "rows         " << store["rows"] << " (" << store["bad_rows"] << " bad)\n"
            << "a row        " << shape[1] << " maps x " << shape[2] << " tokens x " << shape[3]
            << " channels, " << json_text(store["dtype"]) << "\n"
            << "backbone     " << json_text(store["backbone"]["name"]) << "\n"
            << "layers       " << store["backbone"]["layers"] << "\n"
            << "features     " << store["config"]["features"].dump() << "\n"
            << "created by   " << json_text(store["created_by"]) << "\n";
  if (const json& size = store["thumbnails"]; size != 0) {
    std::cout << "thumbnails   " << size << " x " << size << " pixels\n";
  }
  for (const json& column : store["labels"]) {
    std::cout << "labels       " << json_text(column["name"]) << ": " << column["classes"]
              << " classes, " << column["unlabelled"] << " rows without\n";
  }
  for (const json& layer : store["statistics"]) {
    std::cout << "layer " << layer["layer"] << "\tmean " << layer["mean"] << "\tstd "
              << layer["std"] << "\n";
  }
}

}  // namespace

int extractor_inspect(const std::vector<std::string>& arguments) {
  OptionParser parser("extractor inspect", "shows what a feature store holds");
  std::string cache;
  bool as_json = false;
  parser.group("Feature store")
      .add_options()("cache", boost::program_options::value(&cache)->value_name("NAME.h5"),
                     "finished feature store or its set of shards (required)");
  add_json_option(parser, &as_json);
  if (!parser.parse(arguments)) return kExitDone;
  if (cache.empty()) fail_usage("--cache NAME.h5 is missing");
  const FeatureStoreReader store(cache);
  for (const std::string& warning : store.warnings()) log_warning(warning);
  if (as_json) {
    print_json(describe(store));
  } else {
    print_text(describe(store));
  }
  return kExitDone;
}

}  // namespace last
