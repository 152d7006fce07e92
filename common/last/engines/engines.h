#pragma once

#include <memory>
#include <string>

#include <c10/core/Device.h>

#include "common/last/engine.h"

namespace last {

enum class Precision { kFloat32, kBFloat16 };

// "fp32" | "bf16", of the matrix products; statistics, softmax, losses and optimiser are fp32.
// "auto" is fp32. Anything else is a UsageError.
Precision parse_precision(const std::string& name);
std::string to_string(Precision precision);

// The fastest engine for the device: fused on the CPU, GEMM on a GPU. bf16 on a processor without
// fast products of that type (AMX) is an Error.
std::unique_ptr<Engine> make_engine(BankConfig config, const c10::Device& device, int threads,
                                    Precision precision);

}  // namespace last
