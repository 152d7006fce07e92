#include "common/last/engines/engines.h"

#include <utility>

#include "common/error.h"
#include "common/last/fused/engine.h"
#include "common/last/gemm/engine.h"
#include "common/last/gemm/plan.h"

namespace last {

Precision parse_precision(const std::string& name) {
  if (name == "auto") return Precision::kAuto;
  if (name == "fp32") return Precision::kFloat32;
  if (name == "bf16") return Precision::kBFloat16;
  fail_usage("--precision: \"", name, "\" is not one of auto, fp32, bf16");
}

std::string to_string(Precision precision) {
  switch (precision) {
    case Precision::kAuto:
      return "auto";
    case Precision::kFloat32:
      return "fp32";
    case Precision::kBFloat16:
      return "bf16";
  }
  return "";
}

namespace {

bool has_fast_bf16() { return fused_bf16_instruction_set() != fused_instruction_set(); }

}  // namespace

Precision resolve_precision(Precision precision, const c10::Device& device) {
  if (precision != Precision::kAuto) return precision;
  return device.is_cpu() && has_fast_bf16() ? Precision::kBFloat16 : Precision::kFloat32;
}

namespace {

GemmOptions gemm_options(const ComputeOptions& compute) {
  GemmOptions options;
  options.products =
      compute.precision == Precision::kBFloat16 ? ProductPrecision::kBf16 : ProductPrecision::kFp32;
  options.max_bytes = compute.max_scratch_bytes;
  return options;
}

}  // namespace

std::unique_ptr<Engine> make_engine(BankConfig config, const ComputeOptions& options) {
  if (!options.device.is_cpu()) {
    return make_gemm_engine(std::move(config), options.device, gemm_options(options));
  }
  if (options.precision == Precision::kBFloat16) {
    if (!has_fast_bf16()) {
      fail("--precision bf16: this processor has no fast bf16 products (AMX); use fp32");
    }
    return make_fused_engine(std::move(config), options.threads, fused_bf16_instruction_set());
  }
  return make_fused_engine(std::move(config), options.threads);
}

EnginePlan plan_engine(const BankConfig& config, int64_t images, const ComputeOptions& options) {
  if (options.device.is_cpu()) {
    return {1, options.threads, fused_bytes(config, images, options.threads)};
  }
  const GemmPlan plan = plan_gemm(config, images, gemm_options(options));
  return {plan.networks, plan.images, plan.bytes};
}

}  // namespace last
