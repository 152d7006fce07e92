#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>

#include "common/last/gemm/columns.h"
#include "common/last/gemm/fused_attention.h"
#include "common/last/gemm/options.h"
#include "common/last/gemm/products.h"
#include "common/last/gemm/shape.h"

namespace last::gemm {

// How the modules of a bank are computed.
struct ModuleContext {
  const Shape& shape;
  const Products& products;
  AttentionKernel attention;
  int64_t attention_max_bytes;
  const std::function<void(const std::string&)>& warn;

  bool fused_attention(const c10::Device& device) const;
  // bf16 where the products with the token maps are and the kernel is a fused one, else fp32.
  at::ScalarType attention_type(const c10::Device& device) const;
};

// What one module's attention keeps for its backward pass.
struct AttentionState {
  at::Tensor qkv;  // [3, K B h, d, n], or for a fused kernel [K B, n, 3, h, d]
  FusedAttentionState fused;
};

// The attention of a module in K networks on B images, by the kernel that was chosen, in views
// [K, r, B, n] of the order which that kernel wants.
class ModuleAttention {
 public:
  ModuleAttention(const ModuleContext& context, const c10::Device& device, int64_t networks,
                  int64_t images);

  // Memory for Q, K and V, and its views.
  at::Tensor make_qkv() const;
  QkvRows qkv_rows(const at::Tensor& qkv) const;
  // O = concat_h softmax(Q_h K_h^T) V_h, the scale 1/sqrt(d) being in Q.
  at::Tensor forward(AttentionState& state) const;

  // Memory for the gradient of O, and its view.
  at::Tensor make_output() const;
  at::Tensor output_rows(const at::Tensor& output) const;
  // d_output as make_output made it  ->  the gradients of Q, K and V.
  QkvRows backward(const AttentionState& state, const at::Tensor& d_output) const;

 private:
  at::Tensor token_major_rows(const at::Tensor& t) const;

  const Shape& shape_;
  int64_t networks_, images_;
  bool fused_;
  int64_t max_bytes_;
  at::TensorOptions options_;
};

}  // namespace last::gemm
