#pragma once

#include <limits>
#include <string>
#include <vector>

#include "trainer/report/network_table.h"

namespace last {

// One line of the final table: a setting with all its seeds.
struct SummaryLine {
  std::string target;
  Setting setting;
  std::string train_data;
  int64_t networks = 0;  // seeds that ended well; 0: not a matter of seeds
  int64_t parameters = 0;
  double val_mean = 0, val_std = 0;    // percent; NaN: unmeasured or one seed only
  double test_mean = 0, test_std = 0;  // percent
  double val_loss = std::numeric_limits<double>::quiet_NaN();  // mean; NaN: unmeasured
  std::string name;   // instead of the setting, for what has none
  std::string basis;  // what it was chosen by; empty: not a matter of choice
};

// Means over the seeds of the setting that rows of equal settings share.
SummaryLine summarize(const std::vector<NetworkRow>& rows);

// That of an ensemble: the mean of the probabilities of `members` (indices of networks, which may
// repeat), chosen on val.
SummaryLine summarize_ensemble(const std::string& target, const std::string& train_data,
                               const std::vector<int64_t>& members, int64_t parameters,
                               double val_accuracy, double test_accuracy);

// The table as text, aligned, with the data that each number comes from in the header, and what the
// lines were chosen by where any was; `with_val_loss`: and what decided between equal ones.
std::string summary_text(const std::vector<SummaryLine>& lines, bool with_val_loss = false);

// "last r16 g1 h1 mean-patch lr 0.001 wd 0.05", without what equals the default where it is rare.
std::string describe(const Setting& setting);

}  // namespace last
