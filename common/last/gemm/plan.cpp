#include "common/last/gemm/plan.h"

#include <algorithm>

#include "common/last/gemm/attention.h"
#include "common/last/gemm/fused_attention.h"
#include "common/last/gemm/shape.h"

namespace last {
namespace {

constexpr int64_t kFloatBytes = 4;

int64_t largest_class_count(const BankConfig& config) {
  return *std::max_element(config.classes.begin(), config.classes.end());
}

// A network's share of scratch memory, in floats.
struct NetworkFloats {
  int64_t always = 0;   // Weights and their gradients
  int64_t modules = 0;  // while the modules' backward pass runs
  int64_t weights = 0;  // while the weights' backward pass runs, which comes after it
};

NetworkFloats network_floats(const gemm::Shape& shape, int64_t images, int64_t classes,
                             ProductPrecision precision) {
  const int64_t head = images * (6 * shape.dim + 8 * classes) + classes * (shape.dim + 1);
  const int64_t modules = shape.modules(), dim = shape.dim;
  if (modules == 0) return {.always = head};
  const int64_t tokens = images * shape.tokens;
  const int64_t rows = modules * (shape.qkv_rows() + shape.up_rows);
  const int64_t up = modules * shape.up_rows;

  NetworkFloats floats;
  floats.always = head + 2 * (rows * dim + 2 * up * dim + rows * up + modules * shape.qkv_rows());
  // Per token: what the forward pass keeps, and the work on the last, largest module.
  int64_t products = 0;
  for (int64_t i = 0; i < modules; ++i) products += shape.product_rows(i);
  const int64_t kept = products + 2 * up + (modules - 1) * (shape.up_rows + 1);
  const int64_t last = shape.product_rows(modules - 1);
  const int64_t copies = precision == ProductPrecision::kFp16 ? 2 * last : 0;
  const int64_t working = 7 * shape.rank + last + std::max(copies, last + shape.up_rows) + 8;
  floats.modules = tokens * (kept + working);
  floats.weights = tokens * 2 * up + modules * dim * (3 * shape.qkv_rows() + shape.up_rows + 2);
  return floats;
}

// `count` (network, image, head). The device isn't known here: the larger of the two kernels, where
// the fused one may be used.
int64_t attention_scratch(const gemm::Shape& shape, int64_t count, const GemmOptions& options) {
  if (shape.modules() == 0) return 0;
  const int64_t n = shape.tokens;
  const int64_t products =
      std::max(gemm::attention_bytes(1, n),
               std::min(options.attention_max_bytes, gemm::attention_bytes(count, n)));
  if (options.attention == AttentionKernel::kProducts) return products;
  return std::max(products, gemm::fused_attention_bytes(count, n, shape.head_dim()));
}

}  // namespace

int64_t gemm_bytes(const BankConfig& config, int64_t networks, int64_t images,
                   const GemmOptions& options) {
  const auto shape = gemm::make_shape(config.network, config.backbone);
  const auto network = network_floats(shape, images, largest_class_count(config), options.products);
  // TokenMaps (fp32 for predictions, whatever training's products are), the features that they are
  // made of (as fp16), and first the sum and the map in work.
  const int64_t map = images * shape.tokens * shape.dim;
  const auto layers = static_cast<int64_t>(config.backbone.layers.size());
  const int64_t maps = layers * map * 2 + images * shape.dim * kFloatBytes +
                       shape.blocks * (map * kFloatBytes + images * shape.tokens * kFloatBytes);
  const int64_t making_maps = shape.blocks > 0 ? 2 * map * kFloatBytes : 0;

  const int64_t attention = attention_scratch(shape, networks * images * shape.heads, options);
  const int64_t modules = networks * network.modules * kFloatBytes + attention;
  const int64_t weights = networks * network.weights * kFloatBytes;
  return maps + networks * network.always * kFloatBytes + std::max({making_maps, modules, weights});
}

GemmPlan plan_gemm(const BankConfig& config, int64_t images, const GemmOptions& options) {
  const auto bytes = [&](int64_t networks, int64_t batch) {
    return gemm_bytes(config, networks, batch, options);
  };
  GemmPlan plan{config.networks(), images, 0};
  // Even chunks: 65 networks where 64 fit are 33 and 32.
  const auto even = [](int64_t total, int64_t chunks) { return (total + chunks - 1) / chunks; };
  int64_t chunks = 1;
  while (plan.networks > 1 && bytes(plan.networks, images) > options.max_bytes) {
    plan.networks = even(config.networks(), ++chunks);
  }
  chunks = 1;
  while (plan.images > 1 && bytes(plan.networks, plan.images) > options.max_bytes) {
    plan.images = even(images, ++chunks);
  }
  plan.bytes = bytes(plan.networks, plan.images);
  return plan;
}

}  // namespace last
