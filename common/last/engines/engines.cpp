#include "common/last/engines/engines.h"

#include <utility>

#include "common/error.h"
#include "common/last/fused/engine.h"
#include "common/last/gemm/engine.h"

namespace last {

Precision parse_precision(const std::string& name) {
  if (name == "auto" || name == "fp32") return Precision::kFloat32;
  if (name == "bf16") return Precision::kBFloat16;
  fail_usage("--precision: \"", name, "\" is not one of auto, fp32, bf16");
}

std::string to_string(Precision precision) {
  return precision == Precision::kBFloat16 ? "bf16" : "fp32";
}

std::unique_ptr<Engine> make_engine(BankConfig config, const c10::Device& device, int threads,
                                    Precision precision) {
  if (device.is_cpu() && precision == Precision::kFloat32) {
    return make_fused_engine(std::move(config), threads);
  }
  if (device.is_cpu()) {
    const std::string instructions = fused_bf16_instruction_set();
    if (instructions == fused_instruction_set()) {
      fail("--precision bf16: this processor has no fast bf16 products (AMX); use fp32");
    }
    return make_fused_engine(std::move(config), threads, instructions);
  }
  GemmOptions options;
  options.products =
      precision == Precision::kBFloat16 ? ProductPrecision::kBf16 : ProductPrecision::kFp32;
  return make_gemm_engine(std::move(config), device, options);
}

}  // namespace last
