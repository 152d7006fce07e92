#include "common/last/engines/engines.h"

#include <array>
#include <utility>

#include "common/error.h"
#include "common/last/fused/engine.h"
#include "common/last/gemm/engine.h"
#include "common/last/gemm/plan.h"

namespace last {
namespace {

constexpr std::array<std::pair<Precision, const char*>, 5> kPrecisions = {{
    {Precision::kAuto, "auto"},
    {Precision::kFloat32, "fp32"},
    {Precision::kTensorFloat32, "tf32"},
    {Precision::kBFloat16, "bf16"},
    {Precision::kFloat16, "fp16"},
}};

bool has_fast_bf16() { return fused_bf16_instruction_set() != fused_instruction_set(); }

}  // namespace

Precision parse_precision(const std::string& name) {
  for (const auto& [precision, text] : kPrecisions) {
    if (name == text) return precision;
  }
  fail_usage("--precision: \"", name, "\" is not one of auto, fp32, tf32, bf16, fp16");
}

std::string to_string(Precision precision) {
  for (const auto& [known, text] : kPrecisions) {
    if (precision == known) return text;
  }
  return "";
}

Precision resolve_precision(Precision precision, const c10::Device& device) {
  if (precision == Precision::kAuto) {
    return device.is_cpu() && has_fast_bf16() ? Precision::kBFloat16 : Precision::kFloat32;
  }
  if (!device.is_cpu() || precision == Precision::kFloat32) return precision;
  if (precision != Precision::kBFloat16) {
    fail("--precision ", to_string(precision),
         ": a processor has no such products, they are for --device cuda; use fp32");
  }
  if (!has_fast_bf16()) {
    fail("--precision bf16: this processor has no fast bf16 products (AMX); use fp32");
  }
  return precision;
}

namespace {

ProductPrecision product_precision(Precision precision) {
  switch (precision) {
    case Precision::kTensorFloat32:
      return ProductPrecision::kTf32;
    case Precision::kBFloat16:
      return ProductPrecision::kBf16;
    case Precision::kFloat16:
      return ProductPrecision::kFp16;
    default:
      return ProductPrecision::kFp32;
  }
}

GemmOptions gemm_options(const ComputeOptions& compute) {
  GemmOptions options;
  options.products = product_precision(compute.precision);
  // In fp32 the batched products are the faster ones.
  if (options.products == ProductPrecision::kBf16) options.attention = AttentionKernel::kFused;
  options.max_bytes = compute.max_scratch_bytes;
  options.warn = compute.warn;
  return options;
}

// The instruction set that the fused engine takes.
std::string products(const ComputeOptions& options) {
  const bool bf16 = resolve_precision(options.precision, options.device) == Precision::kBFloat16;
  return bf16 ? fused_bf16_instruction_set() : fused_instruction_set();
}

}  // namespace

std::unique_ptr<Engine> make_engine(BankConfig config, const ComputeOptions& options) {
  if (!options.device.is_cpu()) {
    return make_gemm_engine(std::move(config), options.device, gemm_options(options));
  }
  return make_fused_engine(std::move(config), options.threads, products(options));
}

EnginePlan plan_engine(const BankConfig& config, int64_t images, const ComputeOptions& options) {
  if (options.device.is_cpu()) {
    const bool rounds = products(options) != fused_instruction_set();
    return {1, options.threads,
            fused_bytes(config, images, options.threads,
                        rounds ? fused::BackwardForm::kPlain : fused::BackwardForm::kBest)};
  }
  const GemmPlan plan = plan_gemm(config, images, gemm_options(options));
  return {plan.networks, plan.images, plan.bytes};
}

}  // namespace last
