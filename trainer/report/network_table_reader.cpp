#include "trainer/report/network_table_reader.h"

#include <algorithm>
#include <limits>

#include "common/error.h"
#include "trainer/report/table_file.h"

namespace last {
namespace {

bool on_off(const TableRow& row, const char* column) {
  const auto& text = row.text(column);
  if (text != "on" && text != "off") row.refuse(column, "on or off");
  return text == "on";
}

// Names that the command line knows: its usage error becomes one that names the place.
template <class Parse>
auto named(const TableRow& row, const char* column, Parse parse) {
  try {
    return parse(row.text(column));
  } catch (const Error& error) {
    row.refuse(column, error.what());
  }
}

NetworkConfig config_of(const TableRow& row) {
  NetworkConfig config;
  config.method = named(row, "method", parse_method);
  config.pool = named(row, "pool", parse_pool);
  config.norm = named(row, "norm", parse_final_norm);
  if (config.method == Method::kLinear) return config;
  config.rank = row.integer("rank");
  config.gap = row.integer("gap");
  config.heads = row.integer("heads");
  config.modules = row.integer("modules");
  config.variant = named(row, "variant", parse_variant);
  config.bias_correction = on_off(row, "bias_correction");
  config.biases = on_off(row, "biases");
  return config;
}

NetworkRow network_of(const TableRow& row, const std::vector<std::string>& targets) {
  NetworkRow network;
  auto& setting = network.setting;
  network.target = row.text("target");
  const auto target = std::find(targets.begin(), targets.end(), network.target);
  if (target == targets.end()) row.refuse("target", "a target of config.json");
  setting.target = target - targets.begin();
  setting.index = row.integer("network");
  setting.network = config_of(row);
  setting.learning_rate = row.number("learning_rate");
  setting.head_learning_rate_scale = row.number("head_learning_rate_scale");
  setting.weight_decay = row.number("weight_decay");
  setting.label_smoothing = row.number("label_smoothing");
  setting.seed = row.integer("seed");
  network.stage = row.text("stage");
  network.epochs = row.integer("epochs");
  network.parameters = row.integer("parameters");
  network.parameters_without_head = row.integer("parameters_without_head");
  network.train_data = row.text("train_data");
  network.progress.train_loss = row.number_or_nan("train_loss");
  network.progress.val_accuracy = row.number_or_nan("val_accuracy");
  network.progress.val_loss = row.number_or_nan("val_loss");
  network.progress.test_accuracy = row.number_or_nan("test_accuracy");
  network.progress.seconds = row.number("seconds");
  network.progress.status = named(row, "status", parse_network_status);
  return network;
}

}  // namespace

std::vector<NetworkRow> read_network_table(const std::string& path,
                                           const std::vector<std::string>& targets) {
  std::vector<NetworkRow> rows;
  for_each_row(path, [&](const TableRow& row) { rows.push_back(network_of(row, targets)); });
  return rows;
}

}  // namespace last
