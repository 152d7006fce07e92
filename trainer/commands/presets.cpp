#include "trainer/commands/presets.h"

#include "common/error.h"

namespace last {

// In each list the value that has done well most widely comes first: on 200 validation images many
// settings are equal, and then the first of them is chosen.
const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      {"quick",
       "a good answer soon",
       {{"method", "last,linear"},
        {"pool", "cls,mean-patch"},
        {"learning-rate", "1e-3,3e-3"},
        {"head-learning-rate-scale", "3,1"},
        {"weight-decay", "3"},
        {"label-smoothing", "0.1"},
        {"epochs", "30"},
        {"warmup-epochs", "3"}}},
      {"vtab",
       "for some hundred to some thousand images",
       {{"method", "last,linear"},
        {"pool", "cls,mean-patch"},
        {"learning-rate", "1e-3,3e-3,3e-4"},
        {"head-learning-rate-scale", "3,1,10"},
        {"weight-decay", "3,1"},
        {"label-smoothing", "0.1"},
        {"epochs", "30"},
        {"warmup-epochs", "3"}}},
      {"wide",
       "all that has been seen to matter, by halving",
       {{"method", "last,linear"},
        {"pool", "cls,mean-patch"},
        {"rank", "8,16"},
        {"gap", "1,2"},
        {"learning-rate", "1e-3,3e-3,3e-4"},
        {"head-learning-rate-scale", "3,1,10"},
        {"weight-decay", "3,1,6"},
        {"label-smoothing", "0.1,0"},
        {"epochs", "30"},
        {"warmup-epochs", "3"},
        {"search", "halving"}}},
  };
  return all;
}

const Preset& find_preset(const std::string& name) {
  std::string names;
  for (const auto& preset : presets()) {
    if (preset.name == name) return preset;
    names += (names.empty() ? "" : ", ") + preset.name;
  }
  fail_usage("--preset: \"", name, "\" is not one of ", names);
}

}  // namespace last
