#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace last {

// What training's products are made of. Sums within a product, statistics, softmax, losses and
// gradients of weights are fp32, as is everything that predictions are made of.
//   kFp32  nothing is rounded
//   kTf32  CUDA's TF32 products (Ampere and newer)
//   kBf16  token maps, and what each network has per token: S, G, O, u, their gradients, what meets
//          them, and with kFused the attention's operands and results; the rest of the products,
//          between weights, is TF32 (Ampere and newer)
//   kFp16  only the operands of the products with the token maps, in fp16, whose rows are scaled by
//          powers of two against over- and underflow, other products TF32; more digits than bf16,
//          and the only fast one on Turing
// On a CPU the last two round the operands and multiply in fp32: for comparison, not for speed.
enum class ProductPrecision { kFp32, kTf32, kBf16, kFp16 };

// Which kernels compute the attention.
//   kProducts  batched products and a softmax: any device and size
//   kFused     torch's fused kernels where they take the head dimension, else kProducts
enum class AttentionKernel { kProducts, kFused };

struct GemmOptions {
  ProductPrecision products = ProductPrecision::kFp32;
  AttentionKernel attention = AttentionKernel::kProducts;
  // Scratch memory of one call: beyond it the bank is cut into chunks of networks, then of images.
  // The parameters, gradients and features that a caller holds are not counted.
  int64_t max_bytes = int64_t{4} << 30;
  // Of these, for kProducts' [n, n] matrices, which exist for some (network, image, head) at a
  // time.
  int64_t attention_max_bytes = int64_t{256} << 20;
  // Told, once, where a GPU has to be used in a slower way than it should; may be empty.
  std::function<void(const std::string&)> warn = {};
};

}  // namespace last
