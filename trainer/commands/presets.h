#pragma once

#include <string>
#include <utility>
#include <vector>

namespace last {

// A search space with a name: values of options of `trainer run`, as they would be typed. Options
// that are given explicitly override them.
struct Preset {
  std::string name;
  std::string purpose;
  std::vector<std::pair<std::string, std::string>> options;
};

const std::vector<Preset>& presets();
// An unknown name is a UsageError that lists the known ones.
const Preset& find_preset(const std::string& name);

}  // namespace last
