#include "extractor/evaluate/network_set.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include "common/cli/log.h"
#include "common/io/checksum.h"
#include "common/last/engines/engines.h"

namespace last {
namespace {

// Equal for two networks that always say the same.
std::string identity(const NetworkFile& network) {
  Sha256 hash;
  const std::string config = to_json(network.config).dump();
  hash.update(config.data(), config.size());
  for (const auto& [name, tensor] : network.parameters.named()) {
    const at::Tensor bytes = tensor.contiguous();
    hash.update(bytes.const_data_ptr(), bytes.nbytes());
  }
  return to_hex(hash.finish());
}

// Networks of one shape as one bank; fewer classes than the most are filled up with zeros.
Parameters stack(const std::vector<const NetworkFile*>& networks, const BackboneInfo& backbone) {
  int64_t classes = 0;
  for (const auto* n : networks) classes = std::max(classes, n->parameters.head_bias.size(1));
  Parameters all = make_parameters(static_cast<int64_t>(networks.size()), networks.front()->config,
                                   backbone, classes);
  for (size_t k = 0; k < networks.size(); ++k) {
    const auto to = all.network(static_cast<int64_t>(k)).named();
    const auto from = networks[k]->parameters.named();
    for (size_t i = 0; i < to.size(); ++i) {
      const at::Tensor& source = from[i].second;
      at::Tensor target = to[i].second;
      for (int64_t d = 0; d < target.dim(); ++d) target = target.narrow(d, 0, source.size(d));
      target.copy_(source);
    }
  }
  return all;
}

}  // namespace

NetworkSet::NetworkSet(const std::vector<NamedBundle>& bundles, const BackboneInfo& backbone,
                       const c10::Device& device, int threads) {
  std::vector<std::vector<const NetworkFile*>> shapes;  // networks of each bank
  std::map<std::string, Member> known;
  const auto place = [&](const NetworkFile& network) {
    const std::string id = identity(network);
    if (const auto found = known.find(id); found != known.end()) return found->second;
    const auto same_shape = std::ranges::find_if(
        shapes, [&](const auto& shape) { return shape.front()->config == network.config; });
    const auto bank = static_cast<size_t>(same_shape - shapes.begin());
    if (same_shape == shapes.end()) shapes.emplace_back();
    shapes[bank].push_back(&network);
    return known[id] = {bank, static_cast<int64_t>(shapes[bank].size()) - 1, 0.0};
  };
  for (const NamedBundle& bundle : bundles) {
    const auto& files = bundle.bundle.members;
    std::vector<Member> members;
    for (const NetworkFile& file : files) {
      Member member = place(file);
      const auto again = std::ranges::find_if(members, [&](const Member& other) {
        return other.bank == member.bank && other.network == member.network;
      });
      member.weight = 1.0 / static_cast<double>(files.size());
      if (again == members.end()) {
        members.push_back(member);
      } else {
        again->weight += member.weight;
      }
    }
    members_.push_back(std::move(members));
    classes_.push_back(bundle.classes());
  }
  for (const auto& networks : shapes) {
    BankConfig config{backbone, networks.front()->config, {}, {}};
    for (const auto* network : networks) {
      config.classes.push_back(network->parameters.head_bias.size(1));
      config.label_smoothing.push_back(0.0);
    }
    Parameters parameters = stack(networks, backbone).to(device);
    ComputeOptions compute{device, threads};
    compute.warn = log_warning;
    banks_.push_back({make_engine(std::move(config), compute), std::move(parameters)});
  }
}

int64_t NetworkSet::size() const {
  int64_t networks = 0;
  for (const Bank& bank : banks_) networks += bank.engine->config().networks();
  return networks;
}

std::vector<at::Tensor> NetworkSet::probabilities(const at::Tensor& features) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> softmax;  // of each bank, [K, B, C]
  for (Bank& bank : banks_) {
    const std::vector<uint8_t> all(static_cast<size_t>(bank.engine->config().networks()), 1);
    softmax.push_back(at::softmax(bank.engine->logits(features, all, bank.parameters), -1).cpu());
  }
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < members_.size(); ++i) {
    at::Tensor mean = at::zeros({features.size(0), classes_[i]}, c10::ScalarType::Float);
    for (const Member& member : members_[i]) {
      mean.add_(softmax[member.bank][member.network].narrow(1, 0, classes_[i]), member.weight);
    }
    result.push_back(std::move(mean));
  }
  return result;
}

std::vector<int64_t> needed_layers(const std::vector<NamedBundle>& bundles) {
  std::set<int64_t> layers;
  for (const NamedBundle& bundle : bundles) {
    for (const NetworkFile& network : bundle.bundle.members) {
      for (const int64_t map : needed_maps(network.config, network.backbone)) {
        layers.insert(network.backbone.layers[static_cast<size_t>(map)]);
      }
    }
  }
  return {layers.begin(), layers.end()};
}

}  // namespace last
