#pragma once

#include <memory>

#include <c10/core/Device.h>

#include "common/last/engine.h"
#include "common/last/gemm/options.h"

namespace last {

// The bank as large products shared by all networks, for GPUs: no activation of a network has D
// channels (common/last/gemm/modules.h says how), the backward pass is written out, and a step
// waits for the device once, for its results. Products and attention are torch's, what is between
// them is one pass over memory each (columns.h). Any device that torch has; on a CPU the fused
// engine is the faster one.
//
// Features and labels may lie on the CPU or on `device`; parameters and gradients lie on `device`.
// An Error names what doesn't fit: sizes, devices, a label above a network's classes (looked
// at only where the labels lie on the CPU).
std::unique_ptr<Engine> make_gemm_engine(BankConfig config, c10::Device device,
                                         GemmOptions options = {});

}  // namespace last
