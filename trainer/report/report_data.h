#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "trainer/report/run_record.h"

namespace last {

// A chosen setting of a target as the report shows it.
struct AnswerLine {
  std::vector<NetworkRow> rows;      // its networks; after retraining the retrained ones
  std::vector<int64_t> chosen_from;  // its networks in the search
  bool best = false;                 // of its target
  bool by_val = false;               // chosen by validation accuracy
  std::string basis;                 // that in words, see TargetChoice
};

struct Answer {
  std::vector<AnswerLine> lines;  // the best one first
  std::vector<EnsembleRecord> ensembles;
  std::vector<std::string> warnings;
};

// The image of a path in "test" or "val", as a data: URI; empty where there is none.
using ThumbnailOf = std::function<std::string(const std::string& data, const std::string& path)>;

// Of the different networks in it.
int64_t parameters_of(const EnsembleRecord& ensemble, const RunRecord& run);

// What the page's script reads about one run (see page/main.js). Numbers that were not measured are
// null. Curves are thinned to some 200 points.
//   answers: by target; chosen_on_val: whether validation accuracies decided
nlohmann::json report_data(const RunRecord& run, const std::vector<Answer>& answers,
                           bool chosen_on_val, const ThumbnailOf& thumbnail_of);

}  // namespace last
