#pragma once

#include <memory>
#include <string>

#include <c10/core/Device.h>

#include "common/last/engine.h"

namespace last {

enum class Precision { kFloat32, kBFloat16 };

// The fastest engine for the device: fused on the CPU, GEMM on a GPU.
std::unique_ptr<Engine> make_engine(BankConfig config, const c10::Device& device, int threads,
                                    Precision precision);

}  // namespace last
