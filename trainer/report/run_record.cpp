#include "trainer/report/run_record.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "common/error.h"
#include "common/io/file.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "common/last/network_file.h"
#include "trainer/report/network_table_reader.h"
#include "trainer/report/run_checksums.h"
#include "trainer/report/table_file.h"
#include "trainer/training/json_number.h"

namespace last {
namespace {

namespace fs = std::filesystem;

// Runs `read`, which gets at JSON; what is not as expected becomes an Error about `path`.
template <class Read>
auto checked_json(const std::string& path, const Read& read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is damaged: ", error.what());
  }
}

nlohmann::json read_json(const std::string& path) {
  return parse_json(read_text_file(path), "\"" + path + "\"");
}

std::string name_of(const std::string& path) {
  const auto full = fs::weakly_canonical(path);
  return full.has_filename() ? full.filename().string() : full.string();
}

std::map<int64_t, Curve> read_curves(const std::string& path) {
  std::map<int64_t, Curve> curves;
  const std::string text = read_text_file(path);
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    checked_json(path, [&] {
      const auto line =
          parse_json(std::string_view(text).substr(begin, end - begin), "\"" + path + "\"");
      auto& curve = curves[json_integer(line.at("network"))];
      curve.epochs.push_back(json_integer(line.at("epoch")));
      curve.train_loss.push_back(number_from_json(line.at("train_loss")));
      curve.train_accuracy.push_back(number_from_json(line.at("train_accuracy")));
      curve.val_accuracy.push_back(number_from_json(line.at("val_accuracy")));
    });
  }
  return curves;
}

std::vector<EnsembleRecord> read_ensembles(const std::string& path, const RunRecord& run) {
  const auto names = run.target_names();
  std::vector<EnsembleRecord> ensembles;
  for_each_row(path, [&](const TableRow& row) {
    EnsembleRecord ensemble;
    const auto target = std::find(names.begin(), names.end(), row.text("target"));
    if (target == names.end()) row.refuse("target", "a target of config.json");
    ensemble.target = target - names.begin();
    ensemble.stage = row.text("stage");
    ensemble.train_data = row.text("train_data");
    ensemble.val_accuracy = row.number_or_nan("val_accuracy");
    ensemble.test_accuracy = row.number_or_nan("test_accuracy");
    std::istringstream members(row.text("members"));
    for (std::string member; std::getline(members, member, ';');) {
      const auto found = std::find_if(run.rows.begin(), run.rows.end(), [&](const NetworkRow& r) {
        return std::to_string(r.setting.index) == member;
      });
      if (found == run.rows.end()) row.refuse("members", "networks of networks.csv joined by ;");
      ensemble.members.push_back(found->setting.index);
    }
    if (ensemble.members.empty()) row.refuse("members", "networks of networks.csv joined by ;");
    ensembles.push_back(ensemble);
  });
  return ensembles;
}

// Class names lie in the networks' files: any network of the target will do.
void read_class_names(RunRecord& run) {
  for (size_t t = 0; t < run.targets.size(); ++t) {
    for (const auto& row : run.rows) {
      if (row.setting.target != static_cast<int64_t>(t)) continue;
      const std::string file = concat(run.path, "/networks/", row.setting.index, ".safetensors");
      if (!fs::exists(file)) continue;  // it diverged
      run.targets[t].class_names = load_network(file).class_names;
      break;
    }
  }
}

}  // namespace

std::vector<std::string> RunRecord::target_names() const {
  std::vector<std::string> names;
  for (const auto& target : targets) names.push_back(target.name);
  return names;
}

RunRecord read_run(const std::string& path) {
  const auto file = [&](const std::string& name) { return path + "/" + name; };
  if (!fs::is_directory(path)) fail("--run \"", path, "\": there is no such directory");
  if (!fs::exists(file("config.json"))) {
    fail("--run \"", path, "\" holds no run (it has no config.json)");
  }
  if (!fs::exists(file("networks.csv"))) {
    fail("--run \"", path,
         "\" is not finished (it has no networks.csv yet): run its command again to go on; "
         "TensorBoard shows \"",
         file("tensorboard"), "\" meanwhile");
  }
  check_run_tables(path);
  RunRecord run;
  run.path = path;
  run.name = name_of(path);
  run.config = read_json(file("config.json"));
  checked_json(file("config.json"), [&] {
    for (const auto& target : run.config.at("data").at("targets")) {
      run.targets.push_back(
          {target.at("name").get<std::string>(), json_integer(target.at("classes")), {}});
    }
  });
  if (fs::exists(file("cost.json"))) run.cost = load_cost(file("cost.json"));
  run.rows = read_network_table(file("networks.csv"), run.target_names());
  if (run.rows.empty()) fail("\"", file("networks.csv"), "\" lists no network");
  if (fs::exists(file("metrics.jsonl"))) run.curves = read_curves(file("metrics.jsonl"));
  if (fs::exists(file("ensembles.csv"))) run.ensembles = read_ensembles(file("ensembles.csv"), run);
  read_class_names(run);
  for (const auto& target : run.targets) {
    auto& sets = run.predictions.emplace_back();
    for (const char* prefix : {"predictions.", "ensemble_predictions."}) {
      const std::string path_of = file(prefix + target.name + ".csv");
      if (!fs::exists(path_of)) continue;
      for (auto& set : read_predictions(path_of, target.class_names, target.classes)) {
        sets.push_back(std::move(set));
      }
    }
  }
  return run;
}

}  // namespace last
