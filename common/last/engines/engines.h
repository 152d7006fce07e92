#pragma once

#include <functional>
#include <memory>
#include <string>

#include <c10/core/Device.h>

#include "common/last/engine.h"

namespace last {

// Of the matrix products of training; statistics, softmax, losses, optimiser and all streams of
// n x D are fp32, and so is all that predictions are made of. TF32 and fp16 are for GPUs.
enum class Precision { kAuto, kFloat32, kTensorFloat32, kBFloat16, kFloat16 };

// "auto" | "fp32" | "tf32" | "bf16" | "fp16"; anything else is a UsageError.
Precision parse_precision(const std::string& name);
std::string to_string(Precision precision);

// What "auto" means: bf16 on a processor with a unit for it (AMX), else fp32. Others stay what they
// are; an Error where a processor has no fast products of theirs: it has them for fp32 and, with
// AMX, for bf16. GPUs are not asked: TF32 and bf16 need Ampere or newer.
Precision resolve_precision(Precision precision, const c10::Device& device);

// Where and how banks are computed.
struct ComputeOptions {
  c10::Device device = c10::Device(c10::kCPU);
  int threads = 1;
  Precision precision = Precision::kFloat32;
  // Working memory that an engine on a GPU may take; on a CPU it needs little and always the same.
  int64_t max_scratch_bytes = int64_t{4} << 30;
  // Told, once, where a GPU has to be used in a slower way than it should; may be empty.
  std::function<void(const std::string&)> warn = {};
};

// The fastest engine for the device: fused on the CPU, GEMM on a GPU. An Error where
// resolve_precision() gives one.
std::unique_ptr<Engine> make_engine(BankConfig config, const ComputeOptions& options);

// How that engine cuts up a batch, and what it allocates for it.
struct EnginePlan {
  int64_t networks = 1;  // computed at the same time
  int64_t images = 1;    // at the same time: a micro-batch
  int64_t bytes = 0;     // working memory; above max_scratch_bytes where even 1 x 1 doesn't fit
};
EnginePlan plan_engine(const BankConfig& config, int64_t images, const ComputeOptions& options);

}  // namespace last
