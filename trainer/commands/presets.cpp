#include "trainer/commands/presets.h"

#include "common/error.h"

namespace last {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      {"quick",
       "a good answer soon",
       {{"pool", "cls,mean-patch"},
        {"learning-rate", "1e-3,3e-3"},
        {"head-learning-rate-scale", "1,10"},
        {"weight-decay", "1"},
        {"epochs", "30"},
        {"warmup-epochs", "3"}}},
      {"vtab",
       "ten to a thousand images per class, validation on a fifth",
       {{"pool", "cls,mean-patch"},
        {"learning-rate", "3e-4,1e-3,3e-3"},
        {"head-learning-rate-scale", "1,3,10"},
        {"weight-decay", "0.05,1"},
        {"epochs", "30"},
        {"warmup-epochs", "3"}}},
      {"wide",
       "all that has been seen to matter, stopped early where it does not",
       {{"pool", "cls,mean-patch"},
        {"rank", "8,16"},
        {"gap", "1,2"},
        {"learning-rate", "1e-4,3e-4,1e-3,3e-3"},
        {"head-learning-rate-scale", "1,3,10"},
        {"weight-decay", "0.05,0.5,1,2"},
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
