#include "extractor/backbone/report.h"

namespace last {

nlohmann::json BackboneReport::to_json() const {
  using nlohmann::json;
  json result = {{"path", path},
                 {"family", family},
                 {"prefix", prefix},
                 {"config", config},
                 {"decided", json::array()},
                 {"undecided", json::array()},
                 {"ignored", json::array()},
                 {"notes", notes}};
  for (const Decision& decision : decisions) {
    json entry = {{"what", decision.what}};
    if (!decision.option.empty()) entry["option"] = decision.option;
    if (decision.value.is_null()) {
      entry["reason"] = decision.source;
      result["undecided"].push_back(std::move(entry));
      continue;
    }
    entry["value"] = decision.value;
    entry["source"] = decision.source;
    entry["assumed"] = decision.assumed;
    result["decided"].push_back(std::move(entry));
  }
  for (const IgnoredTensor& tensor : ignored) {
    result["ignored"].push_back({{"name", tensor.name}, {"reason", tensor.reason}});
  }
  return result;
}

}  // namespace last
