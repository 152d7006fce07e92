#include "trainer/training/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/io/json_integer.h"
#include "common/io/json_text.h"
#include "common/tensor_file/safetensors.h"
#include "trainer/training/progress_json.h"

namespace last {
namespace {

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

std::vector<int64_t> network_indices(const nlohmann::json& state) {
  std::vector<int64_t> indices;
  for (const auto& network : state.at("networks")) {
    indices.push_back(json_integer(network.at("network")));
  }
  return indices;
}

// Banks of the networks that the file holds; the others were stopped before it was written.
void keep_stored_networks(const nlohmann::json& states, std::vector<Bank>& banks,
                          const std::string& path) {
  std::set<int64_t> stored;
  for (const auto& state : states) {
    const auto indices = network_indices(state);
    stored.insert(indices.begin(), indices.end());
  }
  keep_networks(banks, stored);
  bool equal = states.size() == banks.size();
  for (size_t b = 0; equal && b < banks.size(); ++b) {
    const auto& settings = banks[b].settings();
    const auto indices = network_indices(states[b]);
    equal =
        std::equal(settings.begin(), settings.end(), indices.begin(), indices.end(),
                   [](const Setting& setting, int64_t index) { return setting.index == index; });
  }
  if (!equal) fail("\"", path, "\": it holds other networks than this run, or other banks of them");
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
  bank.optimizer().steps() = json_integers(state.at("steps"));
  const auto& networks = state.at("networks");
  if (bank.optimizer().steps().size() != networks.size()) {
    fail("\"", file.path(), "\": it holds ", networks.size(), " networks in bank ", index, ", and ",
         bank.optimizer().steps().size(), " numbers of steps");
  }
  for (size_t k = 0; k < networks.size(); ++k) {
    bank.progress()[k] = progress_from_json(networks[k]);
  }
}

SafetensorsFile open_checkpoint(const std::string& path) {
  SafetensorsFile file(path);
  file.require_checksum();
  return file;
}

// What `use` makes of the state in the file; an Error where it isn't what save_checkpoint writes.
template <class Use>
auto with_state(const SafetensorsFile& file, const Use& use) {
  try {
    return use(parse_json(file.metadata().at("state"), "\"" + file.path() + "\""));
  } catch (const nlohmann::json::exception& error) {
    fail("\"", file.path(), "\" is no checkpoint of this program: ", error.what());
  } catch (const std::out_of_range&) {
    fail("\"", file.path(), "\" is no checkpoint of this program: no state in it");
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
    for (size_t k = 0; k < banks[b].settings().size(); ++k) {
      auto network = to_json(banks[b].progress()[k]);
      network["network"] = banks[b].settings()[k].index;
      networks.push_back(std::move(network));
    }
    states.push_back({{"steps", banks[b].optimizer().steps()}, {"networks", networks}});
  }
  const nlohmann::json state = {
      {"epoch", position.epoch}, {"batch", position.batch}, {"banks", states}, {"extra", extra}};
  write_safetensors(path, tensors, {{"state", state.dump()}});
}

std::string run_of_checkpoint(const std::string& path) {
  return with_state(open_checkpoint(path),
                    [](const nlohmann::json& state) { return state.at("extra").value("run", ""); });
}

std::optional<RestoredCheckpoint> load_checkpoint(const std::string& path,
                                                  std::vector<Bank>& banks) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const auto file = open_checkpoint(path);
  return with_state(file, [&](const nlohmann::json& state) {
    const auto& states = state.at("banks");
    keep_stored_networks(states, banks, path);
    for (size_t b = 0; b < banks.size(); ++b) restore_bank(file, states[b], banks[b], b);
    return RestoredCheckpoint{{json_integer(state.at("epoch")), json_integer(state.at("batch"))},
                              state.at("extra")};
  });
}

}  // namespace last
