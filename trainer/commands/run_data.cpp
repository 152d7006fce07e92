#include "trainer/commands/run_data.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "common/cli/log.h"
#include "common/error.h"
#include "common/io/csv.h"
#include "trainer/data/label_file.h"
#include "trainer/data/split.h"

namespace last {
namespace {

nlohmann::json describe_stores(const StoreGroup& group) {
  auto stores = nlohmann::json::array();
  for (const auto& reader : group.readers) {
    const auto& manifest = reader->manifest();
    stores.push_back({{"config_hash", manifest.config_hash()},
                      {"content_sha256", reader->content_sha256()},
                      {"image_list_sha256", manifest.image_list_sha256},
                      {"rows", manifest.rows}});
  }
  return stores;
}

// The maps that the shapes of the space need; every shape is checked against what is stored.
std::vector<int64_t> union_of_maps(const SearchSpace& space, const BackboneInfo& backbone) {
  std::set<int64_t> maps;
  for (const auto& setting : make_grid(space, 1)) {
    const auto needed = needed_maps(setting.network, backbone);
    maps.insert(needed.begin(), needed.end());
  }
  return {maps.begin(), maps.end()};
}

std::string val_name(const RunOptions& options) {
  return options.val.empty() ? "the images split off for val" : "--val";
}

// A column of identifiers or measurements would make a head of millions of outputs.
void check_class_counts(const RunData& data) {
  constexpr int64_t kAlwaysFine = 1000;
  for (const auto& target : data.targets) {
    if (target.classes <= std::max(kAlwaysFine, 10 * data.train.size())) continue;
    fail("label column \"", target.name, "\" has ", target.classes, " classes for ",
         data.train.size(),
         " training images: is it an identifier? Name the columns to learn with --target");
  }
}

// `chosen`: what would be chosen on these labels; empty where nothing is. It is an error then: all
// would be trained first, and nothing be chosen.
void warn_of_unlabelled(const Dataset& data, const std::string& name,
                        const std::vector<Target>& targets, const std::string& chosen) {
  for (size_t t = 0; data.size() > 0 && t < targets.size(); ++t) {
    const auto& labels = data.labels(static_cast<int64_t>(t));
    if (std::any_of(labels.begin(), labels.end(), [](int32_t l) { return l != kUnlabelled; })) {
      continue;
    }
    const auto message = concat("target \"", targets[t].name, "\" has no label in ", name);
    if (!chosen.empty()) {
      fail(message, ", but ", chosen,
           " on them: name the columns to learn with --target, or choose nothing (--select last)");
    }
    log_warning(message);
  }
}

std::set<Sha256Digest> image_digests(const Dataset& data) {
  std::set<Sha256Digest> digests;
  for (int64_t i = 0; i < data.size(); ++i) digests.insert(data.image_digest(i));
  return digests;
}

// "3 of 40 different images of --val are in --train, too"; empty where none is.
std::string shared_images(const std::set<Sha256Digest>& digests, const std::string& name,
                          const std::set<Sha256Digest>& others, const std::string& other_name) {
  const auto shared = std::count_if(digests.begin(), digests.end(), [&](const Sha256Digest& d) {
    return others.find(d) != others.end();
  });
  if (shared == 0) return "";
  return concat(shared, " of ", digests.size(), " different images of ", name, " are in ",
                other_name, ", too");
}

// Images that are trained on or chosen by make the accuracies on them too good.
void warn_of_shared_images(const RunOptions& options, const RunData& data) {
  const auto train = image_digests(data.train);
  const auto val = image_digests(data.val);
  const auto test = image_digests(data.test);
  const std::string val_role = val_name(options);
  for (const auto& shared : {shared_images(val, val_role, train, "--train"),
                             shared_images(test, "--test", train, "--train")}) {
    if (!shared.empty()) log_warning(shared + ": accuracies on them say little");
  }
  const auto shared = shared_images(test, "--test", val, val_role);
  if (shared.empty()) return;
  log_warning(shared + (options.retrain
                            ? ": --retrain train+val trains on them, accuracies on them say little"
                            : ": what is chosen by val looks too good there"));
}

void warn_of_empty_classes(const Dataset& train, const std::vector<Target>& targets) {
  for (size_t t = 0; t < targets.size(); ++t) {
    std::vector<int64_t> counts(static_cast<size_t>(targets[t].classes), 0);
    for (const int32_t label : train.labels(static_cast<int64_t>(t))) {
      if (label != kUnlabelled) counts[static_cast<size_t>(label)] += 1;
    }
    const auto empty = std::count(counts.begin(), counts.end(), 0);
    if (empty == 0) continue;
    const auto first = std::find(counts.begin(), counts.end(), 0) - counts.begin();
    const auto& names = targets[t].class_names;
    log_warning(concat("target \"", targets[t].name, "\": ", empty, " of ", counts.size(),
                       " classes have no training image, the first is ",
                       names.empty() ? std::to_string(first)
                                     : concat("\"", names[static_cast<size_t>(first)], "\"")));
    if (empty == static_cast<int64_t>(counts.size())) {
      fail("target \"", targets[t].name, "\" has no labelled training image");
    }
  }
}

// [samples]: for each sample the first that shows the same image, under whatever name.
std::vector<int64_t> image_numbers(const Dataset& data) {
  std::map<Sha256Digest, int64_t> first;
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < data.size(); ++i) {
    numbers.push_back(first.emplace(data.image_digest(i), i).first->second);
  }
  return numbers;
}

// What is chosen on val, in words; empty: nothing.
std::string chosen_on_val(const RunOptions& options) {
  if (options.search.kind == SearchKind::kHalving) return "--search halving chooses";
  if (options.ensemble > 0) return "--ensemble chooses";
  const auto grid = make_grid(options.space, 1);
  const bool several = std::any_of(grid.begin(), grid.end(), [&](const Setting& setting) {
    return !same_but_for_seed(setting, grid.front());
  });
  if (several && options.select == Selection::kVal) return "the best of several settings is chosen";
  return "";
}

void split_off_val(const RunOptions& options, RunData& data) {
  const auto split =
      stratified_split(data.train.labels(0), image_numbers(data.train), options.val_fraction,
                       static_cast<uint64_t>(options.schedule.data_seed));
  if (split.val.empty()) fail("--val-fraction ", options.val_fraction, " leaves no image in val");
  const Dataset all = data.train;
  data.train = all.subset(split.train);
  data.val = all.subset(split.val);
  std::set<int64_t> in_val(split.val.begin(), split.val.end());
  data.split_csv = "path,part\n";
  for (int64_t i = 0; i < all.size(); ++i) {
    data.split_csv += csv_field(all.ids()[static_cast<size_t>(i)]);
    data.split_csv += in_val.count(i) > 0 ? ",val\n" : ",train\n";
  }
  log_info(concat("split ", all.size(), " images into ", data.train.size(), " for training and ",
                  data.val.size(), " for validation, by class of \"", data.targets[0].name, "\""));
}

}  // namespace

std::vector<std::string> RunData::target_names() const {
  std::vector<std::string> names;
  for (const auto& target : targets) names.push_back(target.name);
  return names;
}

RunData open_run_data(const RunOptions& options) {
  std::vector<StoreGroup> groups = {open_stores("train", options.train),
                                    open_stores("val", options.val),
                                    open_stores("test", options.test)};
  check_same_features(groups);
  for (const auto& group : groups) {
    for (const auto& reader : group.readers) {
      for (const auto& warning : reader->warnings()) log_warning(warning);
    }
  }
  std::optional<LabelFile> labels;
  if (!options.labels.empty()) {
    labels = read_label_file(options.labels);
    log_info(apply_labels(*labels, groups));
  }
  std::vector<const StoreLabels*> columns;
  for (const auto& group : groups) {
    for (const auto& store : group.labels) columns.push_back(&store);
  }

  RunData data;
  data.targets = resolve_targets(options.targets, columns);
  data.train = Dataset(groups[0], data.targets, /*all_views=*/true);
  if (!options.val.empty()) data.val = Dataset(groups[1], data.targets, /*all_views=*/true);
  if (!options.test.empty()) data.test = Dataset(groups[2], data.targets, /*all_views=*/false);
  if (options.val_fraction > 0) split_off_val(options, data);
  check_class_counts(data);
  warn_of_empty_classes(data.train, data.targets);
  warn_of_unlabelled(data.val, val_name(options), data.targets, chosen_on_val(options));
  warn_of_unlabelled(data.test, "--test", data.targets, "");
  warn_of_shared_images(options, data);
  batches_per_epoch(data.train, options.schedule);

  const auto& manifest = groups[0].readers.front()->manifest();
  data.features = manifest.config.at("features");
  data.backbone = manifest.backbone;
  data.maps = union_of_maps(options.space, manifest.backbone);
  data.backbone.layers.clear();
  for (const int64_t map : data.maps) {
    data.backbone.layers.push_back(manifest.backbone.layers[static_cast<size_t>(map)]);
  }
  auto targets = nlohmann::json::array();
  for (const auto& target : data.targets) {
    targets.push_back({{"name", target.name}, {"classes", target.classes}});
  }
  data.description = {{"train", describe_stores(groups[0])},
                      {"val", describe_stores(groups[1])},
                      {"test", describe_stores(groups[2])},
                      {"targets", targets}};
  if (labels) data.description["labels_sha256"] = labels->sha256;
  return data;
}

FeatureBytes feature_bytes(const RunData& data, int64_t batch_size, bool retrain) {
  const FeatureSource train(data.train, data.maps, Residence::kDisk);
  FeatureBytes bytes{train.total_bytes(),
                     train.total_bytes() / data.train.total_rows() * batch_size};
  if (data.has_val()) {
    const auto& val = retrain ? data.val : data.val.first_views();
    bytes.sets += FeatureSource(val, data.maps, Residence::kDisk).total_bytes();
  }
  return bytes;
}

Sources make_sources(const RunData& data, Residence residence, const c10::Device& device) {
  ReadOptions read;
  read.device = device;
  const auto make = [&](Dataset set, Residence kept) {
    return set.size() > 0 ? std::make_unique<FeatureSource>(std::move(set), data.maps, kept, read)
                          : nullptr;
  };
  // The test set is read once: never kept.
  return {make(data.train, residence), make(data.val.first_views(), residence),
          make(data.test, Residence::kDisk)};
}

}  // namespace last
