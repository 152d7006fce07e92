#include "common/last/network_file.h"

#include <map>

#include "common/error.h"
#include "common/io/json_text.h"
#include "common/last/network_tensors.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

constexpr char kFormat[] = "last-network-1";

}  // namespace

void save_network(const std::string& path, const NetworkFile& network) {
  std::map<std::string, at::Tensor> tensors;
  add_network_tensors(network, "", tensors);
  write_safetensors(path, tensors,
                    {{"format", kFormat}, {"last", describe_network(network).dump()}});
}

NetworkFile load_network(const std::string& path) {
  const SafetensorsFile file(path);
  file.require_checksum();
  const auto& metadata = file.metadata();
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat || metadata.count("last") == 0) {
    fail("\"", path, "\" is no side network (its metadata has no format = ", kFormat, ")");
  }
  try {
    return read_network(file, parse_json(metadata.at("last")), "");
  } catch (const nlohmann::json::exception& error) {
    fail("\"", path, "\" is a damaged side network: ", error.what());
  }
}

}  // namespace last
