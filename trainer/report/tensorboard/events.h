#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace last {

// Records of a TensorBoard event file: messages of tensorboard/compat/proto/event.proto, each
// framed as TFRecord: u64 length, u32 masked CRC-32C of the length, the bytes, u32 masked CRC-32C
// of the bytes. A file is the concatenation of its records, version_record() first.
//   wall_time: seconds since 1970.
std::string version_record(double wall_time);

// One point of some curves.
std::string scalars_record(double wall_time, int64_t step,
                           const std::vector<std::pair<std::string, double>>& values);

using HyperparameterValue = std::variant<std::string, double, bool>;
using Hyperparameters = std::map<std::string, HyperparameterValue>;

// The HParams tab (tensorboard/plugins/hparams/api.proto). A run's root file declares the columns;
// each network's file is a session. Sessions of one group are repetitions of one setting.
//   examples: a value of each hyper-parameter, for its name and type.
std::string experiment_record(double wall_time, const Hyperparameters& examples,
                              const std::vector<std::string>& metrics);
std::string session_start_record(double wall_time, const Hyperparameters& hyperparameters,
                                 const std::string& group);
std::string session_end_record(double wall_time, bool success);

}  // namespace last
