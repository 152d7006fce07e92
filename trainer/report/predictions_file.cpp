#include "trainer/report/predictions_file.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "common/error.h"
#include "trainer/report/table_file.h"

namespace last {

std::vector<PredictionSet> read_predictions(const std::string& path,
                                            const std::vector<std::string>& class_names,
                                            int64_t classes) {
  std::unordered_map<std::string, int64_t> index_of;
  for (size_t i = 0; i < class_names.size(); ++i)
    index_of[class_names[i]] = static_cast<int64_t>(i);
  const auto class_index = [&](const TableRow& row, const char* column) {
    if (class_names.empty()) {
      const int64_t index = row.integer(column);
      if (index < 0 || index >= classes) row.refuse(column, concat("0..", classes - 1));
      return index;
    }
    const auto found = index_of.find(row.text(column));
    if (found == index_of.end()) row.refuse(column, "the name of a class of the network");
    return found->second;
  };
  std::vector<PredictionSet> sets;
  for_each_row(path, [&](const TableRow& row) {
    std::optional<int64_t> network;
    if (row.text("network") != "ensemble") network = row.integer("network");
    auto set = std::find_if(sets.begin(), sets.end(),
                            [&](const PredictionSet& other) { return other.network == network; });
    if (set == sets.end()) set = sets.insert(set, PredictionSet{network, row.text("data"), {}});
    const bool labelled = !row.text("label").empty();
    set->predictions.push_back({row.text("path"), labelled ? class_index(row, "label") : -1,
                                class_index(row, "prediction"), row.number("probability"),
                                row.number_or_nan("label_probability")});
  });
  return sets;
}

std::vector<std::array<int64_t, 3>> confusion_of(const PredictionSet& set) {
  std::map<std::pair<int64_t, int64_t>, int64_t> counts;
  for (const auto& p : set.predictions) {
    if (p.label >= 0) ++counts[{p.label, p.prediction}];
  }
  std::vector<std::array<int64_t, 3>> cells;
  for (const auto& [pair, images] : counts) cells.push_back({pair.first, pair.second, images});
  return cells;
}

std::vector<Prediction> worst_of(const PredictionSet& set, size_t count) {
  std::vector<Prediction> wrong;
  for (const auto& p : set.predictions) {
    if (p.label >= 0 && p.label != p.prediction) wrong.push_back(p);
  }
  std::stable_sort(wrong.begin(), wrong.end(), [](const Prediction& a, const Prediction& b) {
    return a.label_probability < b.label_probability;
  });
  if (wrong.size() > count) wrong.resize(count);
  return wrong;
}

}  // namespace last
