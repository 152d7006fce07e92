#include "common/last/bundle.h"

#include <map>

#include "common/error.h"
#include "common/io/json_text.h"
#include "common/last/network_tensors.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

constexpr char kFormat[] = "last-ensemble-1";

std::string prefix_of(size_t member) { return concat("networks.", member, "."); }

// What all members must share, by name.
nlohmann::json shared_part(const NetworkFile& network) {
  nlohmann::json description = describe_network(network);
  nlohmann::json shared = description.at("backbone");
  for (const char* key : {"target", "classes", "class_names", "features"}) {
    shared[key] = description.at(key);
  }
  return shared;
}

void check_members(const std::string& path, const Bundle& bundle) {
  if (bundle.members.empty()) fail("\"", path, "\": an ensemble has at least one network");
  const nlohmann::json first = shared_part(bundle.members.front());
  for (size_t j = 1; j < bundle.members.size(); ++j) {
    const nlohmann::json other = shared_part(bundle.members[j]);
    for (const auto& [key, value] : first.items()) {
      if (other.at(key) == value) continue;
      fail("\"", path, "\": networks 0 and ", j, " can't answer together: their ", key,
           " differs: ", value.dump(), " and ", other.at(key).dump());
    }
  }
}

}  // namespace

void save_bundle(const std::string& path, const Bundle& bundle) {
  check_members(path, bundle);
  std::map<std::string, at::Tensor> tensors;
  nlohmann::json networks = nlohmann::json::array();
  for (size_t j = 0; j < bundle.members.size(); ++j) {
    add_network_tensors(bundle.members[j], prefix_of(j), tensors);
    networks.push_back(describe_network(bundle.members[j]));
  }
  const nlohmann::json description = {{"networks", networks}};
  write_safetensors(path, tensors, {{"format", kFormat}, {"last", description.dump()}});
}

Bundle load_bundle(const std::string& path) {
  const SafetensorsFile file(path);
  file.require_checksum();
  const auto& metadata = file.metadata();
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat) return {{load_network(path)}};
  const auto text = metadata.find("last");
  if (text == metadata.end()) {
    fail("\"", path, "\" is a damaged ensemble: its metadata has no \"last\"");
  }
  Bundle bundle;
  try {
    const auto description = parse_json(text->second);
    for (const auto& network : description.at("networks")) {
      bundle.members.push_back(read_network(file, network, prefix_of(bundle.members.size())));
    }
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is a damaged ensemble: ", error.what());
  }
  check_members(path, bundle);
  return bundle;
}

}  // namespace last
