#pragma once

#include <string>
#include <vector>

#include "common/last/bundle.h"

namespace last {

// A network or an ensemble of several, as --networks names it.
struct NamedBundle {
  std::string name;  // the file's name without .safetensors; with its folder where two are alike
  std::string path;
  Bundle bundle;

  const std::string& target() const { return bundle.members.front().target; }
  int64_t classes() const { return bundle.members.front().parameters.head_bias.size(1); }
  // What class `index` is called: its name, or its number where it has none.
  std::string class_text(int64_t index) const;
};

// Network files, ensembles, and run directories of the trainer, which stand for all their
// networks/*.safetensors in order of their numbers and their ensemble.TARGET.safetensors, whose
// members are among the networks. Errors: nothing there, a file named twice, what
// load_bundle refuses.
std::vector<NamedBundle> load_networks(const std::vector<std::string>& files_or_runs);

}  // namespace last
