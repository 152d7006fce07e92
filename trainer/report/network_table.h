#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/sweep/grid.h"
#include "trainer/training/bank.h"

namespace last {

// One line of networks.csv.
struct NetworkRow {
  Setting setting;
  std::string stage;  // "search" or "retrain"
  std::string target;
  int64_t epochs = 0;
  int64_t parameters = 0;
  int64_t parameters_without_head = 0;
  std::string train_data;  // "train" or "train+val"
  NetworkProgress progress;
};

// networks.csv: RFC 4180 with a header; accuracies in percent; unmeasured cells are empty.
std::string network_table_csv(const std::vector<NetworkRow>& rows);

}  // namespace last
