#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>

#include "common/last/gemm/shape.h"

namespace last::gemm {

// Q, K and V, or their gradients, each as a view [K, r, B, n] of whatever order the attention
// wants.
using QkvRows = std::array<at::Tensor, 3>;

// What is done to the columns of K networks and B images between the products and the attention;
// the equations are in modules.h. Tensors are contiguous but for views [K, r, B, n] and for
// cut-outs of Weights. i is the module; with i = 0 `cross` is undefined, as `alpha` and `d_inner`
// are.
class Columns {
 public:
  virtual ~Columns() = default;

  // products [K, 3r + i s, L]: S becomes that of modules.h; cross [K, 3r + s, L]: X_ij O_j^T summed
  // over j < i; q [K, L]; tau [L]; constant [K, 3r]. Writes alpha [K, L] and qkv.
  virtual void project(int64_t i, at::Tensor& products, const at::Tensor& cross,
                       const at::Tensor& branches, const at::Tensor& q, const at::Tensor& tau,
                       const at::Tensor& constant, at::Tensor& alpha, const QkvRows& qkv) const = 0;

  // attended [K, r, B, n] to the rows i of branches [K, M s, L]; with `gram` H_ii [K, s, s], if
  // defined, q becomes that of the next module, and gram_sums [K, s, L], if defined, is written.
  virtual void add_branch(int64_t i, const at::Tensor& attended, const at::Tensor& cross,
                          const at::Tensor& gram, at::Tensor& branches, at::Tensor& gram_sums,
                          at::Tensor& q) const = 0;

  // d_branches fp32 [K, M s, L], gram_sums as above or undefined, d_q [K, L] of q_{i+1}. Writes
  // d_attended [K, r, B, n].
  virtual void attended_gradient(int64_t i, const at::Tensor& d_branches,
                                 const at::Tensor& gram_sums, const at::Tensor& d_q,
                                 at::Tensor& d_attended) const = 0;

  // d_q becomes that of q_i. Writes d_products [K, 3r + i s, L], d_cross [K, 3r + s, L] (i = 0:
  // [K, s, L]) and d_inner [K, L].
  virtual void project_backward(int64_t i, const QkvRows& d_qkv, const at::Tensor& products,
                                const at::Tensor& branches, const at::Tensor& alpha,
                                const at::Tensor& tau, at::Tensor& d_q, at::Tensor& d_inner,
                                at::Tensor& d_products, at::Tensor& d_cross) const = 0;

  // through [K, i s, L]: X^T dZ. Adds to the first i s rows of d_branches; i > 0.
  virtual void add_to_branches(int64_t i, const at::Tensor& products, const at::Tensor& through,
                               const at::Tensor& d_inner, at::Tensor& d_branches) const = 0;
};

// What Columns are made for. products: fp32 or bf16, the type of products, cross, branches,
// gram_sums and through, and of d_products and d_cross; attention: that of the attention's
// operands, bf16 only with products in bf16. The rest is fp32.
struct ColumnsSpec {
  Shape shape;
  c10::Device device = c10::Device(c10::kCPU);
  at::ScalarType products = at::kFloat;
  at::ScalarType attention = at::kFloat;
  int64_t networks = 1;
  int64_t images = 1;
  std::function<void(const std::string&)> warn =
      {};  // told what make_columns can't do; may be empty
};

// One pass over memory each: column_kernels.h, compiled for the GPU when it is first needed. Where
// that can't be done, or what it computes differs from the operations below, a warning says so and
// they are used.
std::unique_ptr<Columns> make_columns(const ColumnsSpec& spec);

// Torch's operations one after the other: slower, on any device.
std::unique_ptr<Columns> make_torch_columns(const ColumnsSpec& spec);

// The largest difference of a and b, relative to the largest value of each tensor, over all five
// functions on random input. Both were made for `spec`.
double largest_difference(const Columns& a, const Columns& b, const ColumnsSpec& spec);

}  // namespace last::gemm
