#pragma once

#include <cstdint>
#include <vector>

#include "trainer/report/network_table.h"

namespace last {

// The searched settings of a target with their networks, in the order that choices are made in, so
// that of what may be chosen the chosen one is first (see rank_settings()). Settings with a network
// that diverged or was stopped, which are not chosen, come last. Without validation in grid order.
std::vector<std::vector<NetworkRow>> ranked_settings(const std::vector<NetworkRow>& rows,
                                                     int64_t target);

}  // namespace last
