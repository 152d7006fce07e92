#include "trainer/training/checkpoint.h"

#include <filesystem>
#include <map>
#include <utility>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"
#include "trainer/training/json_number.h"

namespace last {
namespace {

nlohmann::json to_json(const NetworkProgress& n) {
  return {{"status", to_string(n.status)},
          {"loss_sum", json_number(n.loss_sum)},
          {"correct", n.correct},
          {"labelled", n.labelled},
          {"train_loss", json_number(n.train_loss)},
          {"train_accuracy", json_number(n.train_accuracy)},
          {"val_accuracy", json_number(n.val_accuracy)},
          {"test_accuracy", json_number(n.test_accuracy)},
          {"seconds", json_number(n.seconds)}};
}

NetworkProgress progress_from_json(const nlohmann::json& json) {
  NetworkProgress n;
  n.status = parse_network_status(json.at("status").get<std::string>());
  n.loss_sum = number_from_json(json.at("loss_sum"));
  n.correct = json.at("correct").get<int64_t>();
  n.labelled = json.at("labelled").get<int64_t>();
  n.train_loss = number_from_json(json.at("train_loss"));
  n.train_accuracy = number_from_json(json.at("train_accuracy"));
  n.val_accuracy = number_from_json(json.at("val_accuracy"));
  n.test_accuracy = number_from_json(json.at("test_accuracy"));
  n.seconds = number_from_json(json.at("seconds"));
  return n;
}

// The state's tensors of one bank with their names in the file.
std::map<std::string, at::Tensor> tensors_of(Bank& bank, size_t index) {
  std::map<std::string, at::Tensor> tensors;
  const auto add = [&](const char* kind, const Parameters& parameters) {
    for (const auto& [name, tensor] : parameters.named()) {
      tensors[concat("bank", index, ".", kind, ".", name)] = tensor;
    }
  };
  add("parameters", bank.parameters());
  add("first_moment", bank.optimizer().first_moment());
  add("second_moment", bank.optimizer().second_moment());
  return tensors;
}

void restore_bank(const SafetensorsFile& file, const nlohmann::json& state, Bank& bank,
                  size_t index) {
  for (auto& [name, tensor] : tensors_of(bank, index)) {
    const auto stored = file.tensor(name);
    if (stored.sizes() != tensor.sizes() || stored.scalar_type() != tensor.scalar_type()) {
      fail("\"", file.path(), "\": tensor ", name, " has another shape than this run's");
    }
    tensor.copy_(stored);
  }
  bank.optimizer().steps() = state.at("steps").get<std::vector<int64_t>>();
  const auto& networks = state.at("networks");
  if (networks.size() != bank.progress().size() ||
      bank.optimizer().steps().size() != bank.progress().size()) {
    fail("\"", file.path(), "\": it holds ", networks.size(), " networks in bank ", index,
         ", this run ", bank.progress().size());
  }
  for (size_t k = 0; k < networks.size(); ++k) {
    bank.progress()[k] = progress_from_json(networks[k]);
  }
}

}  // namespace

void save_checkpoint(const std::string& path, std::vector<Bank>& banks,
                     const StagePosition& position, const nlohmann::json& extra) {
  std::map<std::string, at::Tensor> tensors;
  auto states = nlohmann::json::array();
  for (size_t b = 0; b < banks.size(); ++b) {
    tensors.merge(tensors_of(banks[b], b));
    auto networks = nlohmann::json::array();
    for (const auto& network : banks[b].progress()) networks.push_back(to_json(network));
    states.push_back({{"steps", banks[b].optimizer().steps()}, {"networks", networks}});
  }
  const nlohmann::json state = {
      {"epoch", position.epoch}, {"batch", position.batch}, {"banks", states}, {"extra", extra}};
  write_safetensors(path, tensors, {{"state", state.dump()}});
}

std::optional<RestoredCheckpoint> load_checkpoint(const std::string& path,
                                                  std::vector<Bank>& banks) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const SafetensorsFile file(path);
  try {
    const auto state = nlohmann::json::parse(file.metadata().at("state"));
    const auto& states = state.at("banks");
    if (states.size() != banks.size()) {
      fail("\"", path, "\": it holds ", states.size(), " banks, this run ", banks.size());
    }
    for (size_t b = 0; b < banks.size(); ++b) restore_bank(file, states[b], banks[b], b);
    return RestoredCheckpoint{{state.at("epoch").get<int64_t>(), state.at("batch").get<int64_t>()},
                              state.at("extra")};
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is no checkpoint of this program: ", error.what());
  } catch (const std::out_of_range&) {
    fail("\"", path, "\" is no checkpoint of this program: no state in it");
  }
}

}  // namespace last
