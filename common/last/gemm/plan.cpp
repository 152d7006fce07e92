#include "common/last/gemm/plan.h"

#include <algorithm>

#include "common/last/gemm/attention.h"
#include "common/last/gemm/shape.h"

namespace last {
namespace {

constexpr int64_t kFloatBytes = 4;

int64_t largest_class_count(const BankConfig& config) {
  return *std::max_element(config.classes.begin(), config.classes.end());
}

// TokenMaps, the features they are made of (as fp16), and the sum and the normalised map in work.
int64_t token_map_bytes(const BankConfig& config, const gemm::Shape& shape, int64_t images,
                        int64_t operand_bytes) {
  const int64_t map = images * shape.tokens * shape.dim;
  const auto layers = static_cast<int64_t>(config.backbone.layers.size());
  const int64_t kept = shape.blocks * (map * operand_bytes + images * shape.tokens * kFloatBytes);
  const int64_t working = shape.blocks > 0 ? 2 * map * kFloatBytes : 0;
  return kept + working + layers * map * 2 + images * shape.dim * kFloatBytes;
}

// Floats of the Weights of one network, their gradients, and the parameters' gradients.
int64_t weight_floats(const gemm::Shape& shape, int64_t classes) {
  const int64_t modules = shape.modules(), dim = shape.dim;
  const int64_t rows = modules * (shape.qkv_rows() + shape.up_rows);
  const int64_t up = modules * shape.up_rows;
  const int64_t weights = rows * dim + 2 * up * dim + rows * up + modules * shape.qkv_rows();
  const int64_t qkv = modules * shape.qkv_rows() * dim;
  return 2 * weights + 3 * qkv + up * dim + 2 * modules * dim + classes * (dim + 1) + 2 * dim;
}

// Floats of one network per token: what the forward pass keeps, and the backward pass' work on the
// last module.
int64_t floats_per_token(const gemm::Shape& shape, ProductPrecision precision) {
  const int64_t modules = shape.modules(), up = modules * shape.up_rows;
  if (modules == 0) return 0;
  int64_t products = 0;
  for (int64_t i = 0; i < modules; ++i) products += shape.product_rows(i);
  const int64_t kept = products + 2 * up + (modules - 1) * (shape.up_rows + 1);
  const int64_t last = shape.product_rows(modules - 1);
  const int64_t copies = precision == ProductPrecision::kFp16 ? 2 * last : 0;
  const int64_t working = 7 * shape.rank + last + std::max(copies, last + shape.up_rows) + 8;
  return kept + working;
}

}  // namespace

int64_t gemm_bytes(const BankConfig& config, int64_t networks, int64_t images,
                   const GemmOptions& options) {
  const auto shape = gemm::make_shape(config.network, config.backbone);
  const bool half =
      options.products == ProductPrecision::kBf16 || options.products == ProductPrecision::kFp16;
  const int64_t classes = largest_class_count(config);
  const int64_t tokens = images * shape.tokens;
  const int64_t head = images * (6 * shape.dim + 8 * classes);
  const int64_t per_network =
      weight_floats(shape, classes) + tokens * floats_per_token(shape, options.products) + head;
  const int64_t count = shape.modules() > 0 ? networks * images * shape.heads : 0;
  const int64_t one = gemm::attention_bytes(std::min<int64_t>(count, 1), shape.tokens);
  const int64_t attention = std::max(
      one, std::min(options.attention_max_bytes, gemm::attention_bytes(count, shape.tokens)));
  return token_map_bytes(config, shape, images, half ? 2 : kFloatBytes) +
         networks * per_network * kFloatBytes + attention;
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
