#include "common/last/gemm/plan.h"

#include <algorithm>

#include "common/last/gemm/attention.h"
#include "common/last/gemm/cuda_kernels.h"
#include "common/last/gemm/fused_attention.h"
#include "common/last/gemm/products.h"
#include "common/last/gemm/shape.h"

namespace last {
namespace {

constexpr int64_t kFloatBytes = 4;

int64_t largest_class_count(const BankConfig& config) {
  return *std::max_element(config.classes.begin(), config.classes.end());
}

// A network's share of scratch memory.
struct NetworkBytes {
  int64_t always = 0;   // Weights and their gradients
  int64_t modules = 0;  // while the modules' backward pass runs
  int64_t weights = 0;  // while the weights' backward pass runs, which comes after it
};

NetworkBytes network_bytes(const gemm::Shape& shape, int64_t images, int64_t classes,
                           const GemmOptions& options) {
  const int64_t head = images * (6 * shape.dim + 8 * classes) + classes * (shape.dim + 1);
  const int64_t modules = shape.modules(), dim = shape.dim;
  if (modules == 0) return {.always = head * kFloatBytes};
  const int64_t tokens = images * shape.tokens, rank = shape.rank, s = shape.up_rows;
  const int64_t rows = modules * (shape.qkv_rows() + s);
  const int64_t up = modules * s;

  NetworkBytes bytes;
  bytes.always = kFloatBytes *
                 (head + 2 * (rows * dim + 2 * up * dim + rows * up + modules * shape.qkv_rows()));

  // Of one number of a network's own, and of the attention's operands; per token.
  const auto own_type = gemm::Products(options.products).own_type();
  const auto own = static_cast<int64_t>(c10::elementSize(own_type));
  const bool fused =
      options.attention == AttentionKernel::kFused &&
      gemm::fused_attention_fits(c10::Device(c10::kCUDA), shape.head_dim(), own_type);
  const int64_t operand = fused ? own : kFloatBytes;
  int64_t products = 0;
  for (int64_t i = 0; i < modules; ++i) products += shape.product_rows(i);
  // Kept by the forward pass: products, branches, gram_sums; Q, K, V and, for a fused kernel, O and
  // log_sum; alpha and q.
  const int64_t kept = own * (products + up + (modules - 1) * s) +
                       operand * modules * (fused ? 4 : 3) * rank +
                       kFloatBytes * modules * ((fused ? shape.heads : 0) + 1);
  // Work on the last, largest module: the gradients of its products, of Q, K, V, O, and dZ; then
  // X^T dZ, or what fp16 products are made of; the gradients of all O's, of q and of <,>.
  const int64_t last = shape.product_rows(modules - 1);
  const int64_t copies = options.products == ProductPrecision::kFp16 ? 2 * last * kFloatBytes : 0;
  const int64_t working = own * (last + shape.qkv_rows() + s) + operand * 4 * rank +
                          std::max(copies, own * (modules - 1) * s) + kFloatBytes * (up + 3);
  // The left side of its product, as fp32 and as an operand, or the gradient of that.
  bytes.modules = tokens * (kept + working) + last * dim * (kFloatBytes + own);
  bytes.weights = tokens * up * (own + kFloatBytes) +
                  kFloatBytes * modules * dim * (3 * shape.qkv_rows() + s + 2);
  return bytes;
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
  const auto network = network_bytes(shape, images, largest_class_count(config), options);
  // TokenMaps (fp32 for predictions, whatever training's products are), the features that they are
  // made of (as fp16), and first the sum and the map in work.
  const int64_t map = images * shape.tokens * shape.dim;
  const auto layers = static_cast<int64_t>(config.backbone.layers.size());
  const int64_t maps = layers * map * 2 + images * shape.dim * kFloatBytes +
                       shape.blocks * (map * kFloatBytes + images * shape.tokens * kFloatBytes);
  const int64_t making_maps = shape.blocks > 0 ? 2 * map * kFloatBytes : 0;

  const int64_t attention = attention_scratch(shape, networks * images * shape.heads, options);
  const int64_t modules = networks * network.modules + attention;
  const int64_t weights = networks * network.weights;
  return maps + networks * network.always + std::max({making_maps, modules, weights});
}

GemmPlan plan_gemm(const BankConfig& config, int64_t images, const GemmOptions& options) {
  const auto shape = gemm::make_shape(config.network, config.backbone);
  const auto bytes = [&](int64_t networks, int64_t batch) {
    return gemm_bytes(config, networks, batch, options);
  };
  const auto fits = [&](int64_t networks, int64_t batch) {
    const bool countable = networks <= gemm::kMostBlocks &&
                           (options.attention != AttentionKernel::kFused ||
                            gemm::fused_attention_can_index(networks * batch, shape.heads,
                                                            shape.tokens, shape.head_dim()));
    return countable && bytes(networks, batch) <= options.max_bytes;
  };
  GemmPlan plan{config.networks(), images, 0};
  // Even chunks: 65 networks where 64 fit are 33 and 32.
  const auto even = [](int64_t total, int64_t chunks) { return (total + chunks - 1) / chunks; };
  int64_t chunks = 1;
  while (plan.networks > 1 && !fits(plan.networks, images)) {
    plan.networks = even(config.networks(), ++chunks);
  }
  chunks = 1;
  while (plan.images > 1 && !fits(plan.networks, plan.images)) {
    plan.images = even(images, ++chunks);
  }
  plan.bytes = bytes(plan.networks, plan.images);
  return plan;
}

}  // namespace last
