#include "trainer/report/report_data.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "common/error.h"
#include "trainer/report/ranking.h"
#include "trainer/report/summary.h"
#include "trainer/training/json_number.h"

namespace last {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostPoints = 200;      // of one curve
constexpr size_t kMostWorstImages = 24;  // of one network

// Five significant digits: enough for a picture, and a third of the bytes.
Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return std::strtod(text, nullptr);
}

// Every so many points that no more than kMostPoints remain.
size_t stride_of(size_t points) { return (points + kMostPoints - 1) / kMostPoints; }

Json curve_json(const Curve& curve) {
  size_t validated = 0;
  for (const double value : curve.val_accuracy) validated += std::isnan(value) ? 0 : 1;
  const size_t stride = std::max<size_t>(1, stride_of(curve.epochs.size()));
  const size_t val_stride = std::max<size_t>(1, stride_of(validated));
  Json json = {{"epoch", Json::array()},
               {"val", Json::array()},
               {"loss", Json::array()},
               {"accuracy", Json::array()}};
  size_t seen = 0;
  for (size_t i = 0; i < curve.epochs.size(); ++i) {
    const bool has_val = !std::isnan(curve.val_accuracy[i]);
    const bool keep =
        i + 1 == curve.epochs.size() || i % stride == 0 || (has_val && seen % val_stride == 0);
    seen += has_val ? 1 : 0;
    if (!keep) continue;
    json["epoch"].push_back(curve.epochs[i]);
    json["val"].push_back(rounded(curve.val_accuracy[i]));
    json["loss"].push_back(rounded(curve.train_loss[i]));
    json["accuracy"].push_back(rounded(curve.train_accuracy[i]));
  }
  return json;
}

// One value per column of `columns`.
const std::vector<std::pair<const char*, std::function<Json(const NetworkRow&)>>>& columns() {
  const auto of_last = [](auto get) {
    return [get](const NetworkRow& row) -> Json {
      if (row.setting.network.method != Method::kLast) return nullptr;
      return get(row.setting.network);
    };
  };
  static const std::vector<std::pair<const char*, std::function<Json(const NetworkRow&)>>> all = {
      {"network", [](const NetworkRow& r) -> Json { return r.setting.index; }},
      {"stage", [](const NetworkRow& r) -> Json { return r.stage; }},
      {"method", [](const NetworkRow& r) -> Json { return to_string(r.setting.network.method); }},
      {"target", [](const NetworkRow& r) -> Json { return r.setting.target; }},
      {"setting", [](const NetworkRow& r) -> Json { return describe(r.setting); }},
      {"rank", of_last([](const NetworkConfig& c) -> Json { return c.rank; })},
      {"gap", of_last([](const NetworkConfig& c) -> Json { return c.gap; })},
      {"heads", of_last([](const NetworkConfig& c) -> Json { return c.heads; })},
      {"modules", of_last([](const NetworkConfig& c) -> Json { return c.modules; })},
      {"variant", of_last([](const NetworkConfig& c) -> Json { return to_string(c.variant); })},
      {"bias_correction",
       of_last([](const NetworkConfig& c) -> Json { return c.bias_correction ? "on" : "off"; })},
      {"biases", of_last([](const NetworkConfig& c) -> Json { return c.biases ? "on" : "off"; })},
      {"pool", [](const NetworkRow& r) -> Json { return to_string(r.setting.network.pool); }},
      {"norm", [](const NetworkRow& r) -> Json { return to_string(r.setting.network.norm); }},
      {"learning_rate", [](const NetworkRow& r) -> Json { return r.setting.learning_rate; }},
      {"head_learning_rate_scale",
       [](const NetworkRow& r) -> Json { return r.setting.head_learning_rate_scale; }},
      {"weight_decay", [](const NetworkRow& r) -> Json { return r.setting.weight_decay; }},
      {"label_smoothing", [](const NetworkRow& r) -> Json { return r.setting.label_smoothing; }},
      {"seed", [](const NetworkRow& r) -> Json { return r.setting.seed; }},
      {"epochs", [](const NetworkRow& r) -> Json { return r.epochs; }},
      {"parameters", [](const NetworkRow& r) -> Json { return r.parameters; }},
      {"train_data", [](const NetworkRow& r) -> Json { return r.train_data; }},
      {"train_loss", [](const NetworkRow& r) { return json_number(r.progress.train_loss); }},
      {"val_accuracy", [](const NetworkRow& r) { return json_number(r.progress.val_accuracy); }},
      {"val_loss", [](const NetworkRow& r) { return json_number(r.progress.val_loss); }},
      {"test_accuracy", [](const NetworkRow& r) { return json_number(r.progress.test_accuracy); }},
      {"seconds", [](const NetworkRow& r) -> Json { return r.progress.seconds; }},
      {"status", [](const NetworkRow& r) -> Json { return to_string(r.progress.status); }}};
  return all;
}

}  // namespace

int64_t parameters_of(const EnsembleRecord& ensemble, const RunRecord& run) {
  int64_t parameters = 0;
  for (const auto& row : run.rows) {
    const auto& members = ensemble.members;
    if (std::find(members.begin(), members.end(), row.setting.index) == members.end()) continue;
    parameters += row.parameters;
  }
  return parameters;
}

namespace {

Json ensemble_json(const EnsembleRecord& ensemble, const RunRecord& run) {
  std::string members;
  for (const int64_t member : ensemble.members) {
    members += (members.empty() ? "" : ", ") + std::to_string(member);
  }
  const auto measured = [](double value) {
    return std::isnan(value) ? Json::array() : Json::array({value});
  };
  return {{"method", "ensemble"},
          {"setting", "mean of the probabilities of networks " + members},
          {"trained_on", ensemble.train_data},
          {"networks_in_mean", ensemble.members.size()},
          {"parameters", parameters_of(ensemble, run)},
          {"val", measured(ensemble.val_accuracy)},
          {"test", measured(ensemble.test_accuracy)},
          {"networks", Json::array()},
          {"chosen_from", Json::array()},
          {"chosen_by", "val"},
          {"by_val", true},
          {"best", false}};
}

Json answer_json(const Answer& answer, const RunRecord& run, int64_t target) {
  Json lines = Json::array();
  for (const auto& line : answer.lines) {
    const auto summary = summarize(line.rows);
    Json val = Json::array();
    Json test = Json::array();
    Json networks = Json::array();
    for (const auto& row : line.rows) {
      networks.push_back(row.setting.index);
      if (row.progress.status != NetworkStatus::kOk) continue;
      if (!std::isnan(row.progress.val_accuracy)) val.push_back(row.progress.val_accuracy);
      if (!std::isnan(row.progress.test_accuracy)) test.push_back(row.progress.test_accuracy);
    }
    lines.push_back({{"method", to_string(summary.setting.network.method)},
                     {"setting", describe(summary.setting)},
                     {"trained_on", summary.train_data},
                     {"networks_in_mean", summary.networks},
                     {"parameters", summary.parameters},
                     {"val", val},
                     {"test", test},
                     {"networks", networks},
                     {"chosen_from", line.chosen_from},
                     {"chosen_by", line.basis},
                     {"by_val", line.by_val},
                     {"best", line.best}});
  }
  for (const auto& ensemble : answer.ensembles) lines.push_back(ensemble_json(ensemble, run));
  return {{"target", target}, {"lines", lines}, {"warnings", answer.warnings}};
}

std::string method_of(const PredictionSet& set, const RunRecord& run) {
  if (!set.network) return "ensemble";
  for (const auto& row : run.rows) {
    if (row.setting.index == *set.network) return to_string(row.setting.network.method);
  }
  return "last";
}

Json predictions_json(const RunRecord& run, size_t target, const PredictionSet& set,
                      const ThumbnailOf& thumbnail_of) {
  const std::string method = method_of(set, run);
  const auto labelled = std::count_if(set.predictions.begin(), set.predictions.end(),
                                      [](const Prediction& p) { return p.label >= 0; });
  Json worst = Json::array();
  for (const auto& p : worst_of(set, kMostWorstImages)) {
    Json sample = {{"path", p.path},
                   {"label", p.label},
                   {"prediction", p.prediction},
                   {"probability", rounded(p.probability)},
                   {"label_probability", rounded(p.label_probability)}};
    const std::string thumbnail = thumbnail_of(set.data, p.path);
    if (!thumbnail.empty()) sample["thumbnail"] = thumbnail;
    worst.push_back(sample);
  }
  return {{"target", target},
          {"network", set.network ? Json(*set.network) : Json()},
          {"method", method},
          {"data", set.data},
          {"images", set.predictions.size()},
          {"labelled", labelled},
          {"confusion", confusion_of(set)},
          {"worst", worst}};
}

// By network, the place of its setting among those of its target that were searched, from 1.
std::map<int64_t, int64_t> places_of(const RunRecord& run) {
  std::map<int64_t, int64_t> places;
  for (size_t t = 0; t < run.targets.size(); ++t) {
    int64_t place = 0;
    for (const auto& networks : ranked_settings(run.rows, static_cast<int64_t>(t))) {
      ++place;
      for (const auto& row : networks) places[row.setting.index] = place;
    }
  }
  return places;
}

// "a, b" of an array, the value itself otherwise.
std::string plain_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string text;
  for (const auto& item : value) text += (text.empty() ? "" : ", ") + plain_text(item);
  return text;
}

// What the page shows of it.
Json cost_json(const RunRecord& run) {
  if (!run.cost) return nullptr;
  return {{"seconds", run.cost->seconds}, {"peak_memory_bytes", run.cost->peak_memory_bytes}};
}

Json facts_json(const RunRecord& run) {
  Json facts = Json::array();
  const auto add_all = [&](const char* part) {
    const auto found = run.config.find(part);
    if (found == run.config.end() || !found->is_object()) return;
    for (const auto& [name, value] : found->items()) facts.push_back({name, plain_text(value)});
  };
  facts.push_back({"program", plain_text(run.config.value("program", Json()))});
  add_all("machine");
  add_all("options");
  add_all("features");
  return facts;
}

std::string machine_text(const Json& config) {
  const auto machine = config.value("machine", Json::object());
  const std::string device = plain_text(machine.value("device", Json("?")));
  return device == "cpu"
             ? concat("cpu, ", plain_text(machine.value("threads", Json("?"))), " threads")
             : device;
}

}  // namespace

Json report_data(const RunRecord& run, const std::vector<Answer>& answers, bool chosen_on_val,
                 const ThumbnailOf& thumbnail_of) {
  Json names = Json::array();
  for (const auto& [name, get] : columns()) names.push_back(name);
  names.push_back("place");
  const auto places = places_of(run);
  Json networks = Json::array();
  bool has_val = false;
  for (const auto& row : run.rows) {
    Json values = Json::array();
    for (const auto& [name, get] : columns()) values.push_back(get(row));
    const auto place = places.find(row.setting.index);
    values.push_back(place == places.end() ? Json() : Json(place->second));
    networks.push_back(values);
    has_val = has_val || !std::isnan(row.progress.val_accuracy);
  }
  Json curves = Json::object();
  for (const auto& [network, curve] : run.curves) {
    curves[std::to_string(network)] = curve_json(curve);
  }
  Json targets = Json::array();
  Json answers_json = Json::array();
  Json predictions = Json::array();
  for (size_t t = 0; t < run.targets.size(); ++t) {
    const auto& target = run.targets[t];
    targets.push_back(
        {{"name", target.name},
         {"classes", target.classes},
         {"class_names", target.class_names.empty() ? Json() : Json(target.class_names)}});
    answers_json.push_back(answer_json(answers[t], run, static_cast<int64_t>(t)));
    // Of a setting's seeds the first will do.
    std::set<std::string> methods;
    for (const auto& set : run.predictions[t]) {
      if (!methods.insert(method_of(set, run)).second) continue;
      predictions.push_back(predictions_json(run, t, set, thumbnail_of));
    }
  }
  return {{"name", run.name},           {"targets", targets},
          {"has_val", has_val},         {"machine", machine_text(run.config)},
          {"facts", facts_json(run)},   {"cost", cost_json(run)},
          {"columns", names},           {"networks", networks},
          {"curves", curves},           {"answers", answers_json},
          {"predictions", predictions}, {"chosen_on_val", chosen_on_val && has_val}};
}

}  // namespace last
