#pragma once

#include "common/last/config.h"
#include "common/last/fused/shape.h"

// The backward pass in crossed form. The plain one takes the gradient of the stream, an n x D tile,
// through all modules. Written out for module i, with the terms of kernels.h, that gradient is
//   G_i = pool (x) g + sum_{l>i} (E_l Wc_l^T - c_l o x_l),   x_l = Pbar_l + sum_{k<l} O_k Abar_k
// (bar: minus the mean over D; o: row by row). It is used in products only, d_O_i = G_i A_i^T and
// d_A_i = O_i^T G_i, so that its n x D terms with E_l, and those of x_l with O_k, become products
// of r columns. What remains is a tile that costs no product: with gamma_i = sum_{l>i} c_l,
//   R_i     = pool (x) g - sum_{l>i} c_l o Pbar_l
//   d_O_i   = R_i A_i^T + sum_{l>i} E_l (Wc_l^T A_i^T)
//             - sum_{k>i} (gamma_k o O_k) (Abar_k A_i^T) - gamma_i o sum_{k<=i} O_k (Abar_k A_i^T)
//   d_A_i   = O_i^T R_i + sum_{l>i} T_il Wc_l^T - sum_k S_ik Abar_k
//   d_Wc_l  = Pbar_l^T E_l + sum_{k<l} Abar_k^T T_kl
//   T_il = O_i^T E_l,   S_ik = S_ki^T = O_i^T (gamma_k o O_k) for i <= k
// The products of weights are made once per batch, T and S are added up over its images first.
// A_up's bias is one more row of A_i and its gradient one more row of d_A_i: O_i has a column of
// ones then. Per token and module 18 r D operations become 10 r D and about 9 r^2 times the number
// of modules. So it pays most in the first modules, which have few before them: of many modules, or
// with a large rank, the last ones take the plain form, and the G that they leave takes the place
// of pool (x) g.
namespace last::fused {

// kBest: what takes the fewest operations; kHalf: plain in the later half of the modules. With bf16
// products always the plain form: its products are cheap then, beside what the crossed form adds.
enum class BackwardForm { kBest, kPlain, kHalf, kCrossed };

// In how many modules (0, or 2 and more) the crossed form takes the fewest operations, in batches
// of 32 images and with something for its smaller products. (In much smaller batches what is done
// once for all images weighs more.)
int best_crossed_modules(const NetworkConfig& network, int modules, int tokens, int dim);

// Where a network's small matrices lie, in floats; i, k, l: modules. Without modules all sizes are
// 0.
class CrossedLayout {
 public:
  CrossedLayout() = default;
  // modules: those in the crossed form, at least 2
  CrossedLayout(const Shape& shape, int modules);

  // Wc_l^T A_i^T [qkv_stride, rank_stride] for i < l
  long qkv_weights(int i, int l) const { return pair(i, l - 1) * qkv_size_; }
  // - Abar_k A_i^T [rank_stride, rank_stride]; i, k: all but the last module
  long up_weights(int i, int k) const {
    return pair(0, modules_ - 1) * qkv_size_ +
           (static_cast<long>(i) * (modules_ - 1) + k) * up_size_;
  }
  long weights() const { return up_weights(modules_ - 1, 0); }

  // [T_il | S_il] for i <= l: T [up_rank, qkv_stride], S from column qkv_stride on. The last
  // module has no S, no module a T with itself.
  long sums(int i, int l) const { return pair(i, l) * sum_size_; }
  long sums() const { return sums(0, modules_); }
  // The most that a module has with those before it and itself.
  long most_sums() const { return sums() - sums(0, modules_ - 1); }

 private:
  static long pair(int i, int l) { return static_cast<long>(l) * (l + 1) / 2 + i; }

  int modules_ = 0;
  long qkv_size_ = 0, up_size_ = 0, sum_size_ = 0;
};

}  // namespace last::fused
