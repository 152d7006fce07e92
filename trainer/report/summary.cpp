#include "trainer/report/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "common/error.h"
#include "trainer/report/number_text.h"

namespace last {
namespace {

constexpr double kUnmeasured = std::numeric_limits<double>::quiet_NaN();

struct MeanAndStd {
  double mean = kUnmeasured;
  double std = kUnmeasured;  // of the sample (n - 1)
};

MeanAndStd mean_and_std(const std::vector<double>& values) {
  MeanAndStd result;
  if (values.empty()) return result;
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  result.mean = sum / count;
  if (values.size() > 1) {
    double squares = 0;
    for (const double value : values) squares += (value - result.mean) * (value - result.mean);
    result.std = std::sqrt(squares / (count - 1));
  }
  return result;
}

std::string with_spread(double mean, double std) {
  if (std::isnan(mean)) return "-";
  return std::isnan(std) ? fixed(mean, 2) : fixed(mean, 2) + " +- " + fixed(std, 2);
}

}  // namespace

std::string describe(const Setting& setting) {
  const auto& n = setting.network;
  const NetworkConfig usual;
  std::string text = to_string(n.method);
  if (n.method == Method::kLast) {
    text += concat(" r", n.rank, " g", n.gap, " h", n.heads);
    if (n.modules != usual.modules) text += concat(" T", n.modules);
    if (n.variant != usual.variant) text += " variant " + to_string(n.variant);
    if (!n.bias_correction) text += " no bias correction";
    if (n.biases) text += " biases";
  }
  text += " " + to_string(n.pool);
  if (n.norm != usual.norm) text += " norm " + to_string(n.norm);
  text += " lr " + shortest(setting.learning_rate);
  if (setting.head_learning_rate_scale != 1) {
    text += " head x" + shortest(setting.head_learning_rate_scale);
  }
  text += " wd " + shortest(setting.weight_decay);
  if (setting.label_smoothing != 0) text += " smoothing " + shortest(setting.label_smoothing);
  return text;
}

SummaryLine summarize(const std::vector<NetworkRow>& rows) {
  const auto& first = rows.front();
  SummaryLine line{first.target,
                   first.setting,
                   first.train_data,
                   0,
                   first.parameters,
                   kUnmeasured,
                   kUnmeasured,
                   kUnmeasured,
                   kUnmeasured,
                   kUnmeasured,
                   {},
                   {}};
  std::vector<double> val;
  std::vector<double> test;
  std::vector<double> val_loss;
  for (const auto& row : rows) {
    if (row.progress.status != NetworkStatus::kOk) continue;
    line.networks += 1;
    if (!std::isnan(row.progress.val_accuracy)) val.push_back(row.progress.val_accuracy);
    if (!std::isnan(row.progress.val_loss)) val_loss.push_back(row.progress.val_loss);
    if (!std::isnan(row.progress.test_accuracy)) test.push_back(row.progress.test_accuracy);
  }
  const auto val_statistics = mean_and_std(val);
  line.val_mean = val_statistics.mean;
  line.val_std = val_statistics.std;
  line.val_loss = mean_and_std(val_loss).mean;
  const auto test_statistics = mean_and_std(test);
  line.test_mean = test_statistics.mean;
  line.test_std = test_statistics.std;
  return line;
}

SummaryLine summarize_ensemble(const std::string& target, const std::string& train_data,
                               const std::vector<int64_t>& members, int64_t parameters,
                               double val_accuracy, double test_accuracy) {
  const size_t different = std::set<int64_t>(members.begin(), members.end()).size();
  SummaryLine line;
  line.target = target;
  line.train_data = train_data;
  line.parameters = parameters;
  line.val_mean = val_accuracy;
  line.test_mean = test_accuracy;
  line.val_std = line.test_std = kUnmeasured;
  line.name = concat("ensemble of ", members.size(), ", ", different,
                     different == 1 ? " network" : " different networks");
  line.basis = "val";
  return line;
}

std::string summary_text(const std::vector<SummaryLine>& lines, bool with_val_loss) {
  const bool chosen = std::any_of(lines.begin(), lines.end(),
                                  [](const SummaryLine& line) { return !line.basis.empty(); });
  std::vector<std::vector<std::string>> table = {{"target", "setting"}};
  if (chosen) table.front().push_back("chosen by");
  for (const char* name : {"seeds", "parameters", "trained on", "val %"}) {
    table.front().push_back(name);
  }
  if (with_val_loss) table.front().push_back("val loss");
  table.front().push_back("test %");
  for (const auto& line : lines) {
    auto& row = table.emplace_back();
    row = {line.target, line.name.empty() ? describe(line.setting) : line.name};
    if (chosen) row.push_back(line.basis);
    row.push_back(line.networks == 0 ? "-" : std::to_string(line.networks));
    row.push_back(std::to_string(line.parameters));
    row.push_back(line.train_data);
    row.push_back(with_spread(line.val_mean, line.val_std));
    if (with_val_loss) row.push_back(std::isnan(line.val_loss) ? "-" : fixed(line.val_loss, 4));
    row.push_back(with_spread(line.test_mean, line.test_std));
  }
  std::vector<size_t> widths(table.front().size(), 0);
  for (const auto& row : table) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      line += row[c] + std::string(widths[c] - row[c].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace last
