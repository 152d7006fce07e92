#include "common/last/engines/engines.h"

#include <utility>

#include "common/last/fused/engine.h"
#include "common/last/gemm/engine.h"

namespace last {

std::unique_ptr<Engine> make_engine(BankConfig config, const c10::Device& device, int threads,
                                    Precision precision) {
  if (device.is_cpu()) return make_fused_engine(std::move(config), threads);
  GemmOptions options;
  options.products =
      precision == Precision::kBFloat16 ? ProductPrecision::kBf16 : ProductPrecision::kFp32;
  return make_gemm_engine(std::move(config), device, options);
}

}  // namespace last
