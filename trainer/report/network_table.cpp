#include "trainer/report/network_table.h"

#include <sstream>

#include "common/io/csv.h"
#include "trainer/report/number_text.h"

namespace last {
namespace {

constexpr char kHeader[] =
    "network,stage,method,target,rank,gap,heads,modules,variant,bias_correction,biases,pool,norm,"
    "learning_rate,head_learning_rate_scale,weight_decay,label_smoothing,seed,epochs,parameters,"
    "parameters_without_head,train_data,train_loss,val_accuracy,test_accuracy,seconds,status,"
    "val_loss";

const char* on_off(bool value) { return value ? "on" : "off"; }

// rank .. biases, which a linear probe does not have.
void write_module_options(std::ostream& out, const NetworkConfig& config) {
  if (config.method == Method::kLinear) {
    out << ",,,,,,,";
    return;
  }
  out << config.rank << ',' << config.gap << ',' << config.heads << ',' << config.modules << ','
      << to_string(config.variant) << ',' << on_off(config.bias_correction) << ','
      << on_off(config.biases) << ',';
}

}  // namespace

std::string network_table_csv(const std::vector<NetworkRow>& rows) {
  std::ostringstream out;
  out << kHeader << "\n";
  for (const auto& row : rows) {
    const auto& s = row.setting;
    const auto& n = row.progress;
    out << s.index << ',' << row.stage << ',' << to_string(s.network.method) << ','
        << csv_field(row.target) << ',';
    write_module_options(out, s.network);
    out << to_string(s.network.pool) << ',' << to_string(s.network.norm) << ','
        << shortest(s.learning_rate) << ',' << shortest(s.head_learning_rate_scale) << ','
        << shortest(s.weight_decay) << ',' << shortest(s.label_smoothing) << ',' << s.seed << ','
        << row.epochs << ',' << row.parameters << ',' << row.parameters_without_head << ','
        << row.train_data << ',' << shortest(n.train_loss) << ',' << shortest(n.val_accuracy) << ','
        << shortest(n.test_accuracy) << ',' << fixed(n.seconds, 3) << ',' << to_string(n.status)
        << ',' << shortest(n.val_loss) << "\n";
  }
  return out.str();
}

}  // namespace last
