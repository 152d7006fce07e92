#pragma once

#include "common/last/network_file.h"

namespace last {

// A small network with random parameters: two blocks of 16 channels, three classes.
NetworkFile example_network(FinalNorm norm);

}  // namespace last
