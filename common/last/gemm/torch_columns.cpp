#include <ATen/ops/mul.h>

#include "common/last/config.h"
#include "common/last/gemm/column_kernels.h"
#include "common/last/gemm/columns.h"

namespace last::gemm {
namespace {

at::Tensor wide(const at::Tensor& t) { return t.to(at::kFloat); }

class TorchColumns final : public Columns {
 public:
  explicit TorchColumns(const ColumnsSpec& spec) : shape_(spec.shape), spec_(spec) {}

  void project(int64_t i, at::Tensor& products, const at::Tensor& cross, const at::Tensor& branches,
               const at::Tensor& q, const at::Tensor& tau, const at::Tensor& constant,
               at::Tensor& alpha, const QkvRows& qkv) const override {
    const auto s = products.narrow(1, 0, shape_.qkv_rows());
    auto sum = wide(s);
    if (i > 0) {
      // kappa = (2 tau sum_j <O_j, G_j> + tau^2 q) / D
      const auto g = earlier(products, shape_.qkv_rows(), i), o = earlier(branches, 0, i);
      auto kappa = g.mul(o).sum({1}, false, at::kFloat).mul_(2).addcmul_(q, tau).mul_(tau);
      kappa.div_(static_cast<double>(shape_.dim));
      // alpha = (1 + kappa)^(-1/2), clamped so that the variance is not negative
      alpha.copy_(kappa.add_(1).clamp_min_(tau.square().mul_(kModuleNormEps)).rsqrt_());
      // S += tau sum_j (W bar(A_j)^T) O_j^T
      sum = sum.addcmul(wide(cross.narrow(1, 0, shape_.qkv_rows())), tau);
      s.copy_(sum);
    }
    for (int64_t part = 0; part < 3; ++part) {
      const auto c = constant.narrow(1, part * shape_.rank, shape_.rank).unsqueeze(2);
      auto x = sum.narrow(1, part * shape_.rank, shape_.rank);
      if (i > 0) x = x.mul(alpha.unsqueeze(1));
      qkv[static_cast<size_t>(part)].copy_(by_image(x.add(c)));
    }
  }

  void add_branch(int64_t i, const at::Tensor& attended, const at::Tensor& cross,
                  const at::Tensor& gram, at::Tensor& branches, at::Tensor& gram_sums,
                  at::Tensor& q) const override {
    const auto o = branches.narrow(1, i * shape_.up_rows, shape_.up_rows);
    by_image(o.narrow(1, 0, shape_.rank)).copy_(attended);
    if (shape_.up_rows > shape_.rank) o.select(1, shape_.rank).fill_(1);
    if (!gram.defined()) return;
    // q += <O_i, 2 u + H_ii O_i>
    const auto own = gram.bmm(wide(o));
    auto sum = own;
    if (cross.defined()) {
      const auto u = wide(cross.narrow(1, shape_.qkv_rows(), shape_.up_rows));
      if (gram_sums.defined()) gram_sums.copy_(own.add(u));
      sum = own.add(u, 2);
    } else if (gram_sums.defined()) {
      gram_sums.copy_(own);
    }
    q.add_(sum.mul(o).sum({1}));
  }

  void attended_gradient(int64_t i, const at::Tensor& d_branches, const at::Tensor& gram_sums,
                         const at::Tensor& d_q, at::Tensor& d_attended) const override {
    auto d_o = d_branches.narrow(1, i * shape_.up_rows, shape_.rank);
    if (gram_sums.defined()) {
      d_o = d_o.addcmul(wide(gram_sums.narrow(1, 0, shape_.rank)), d_q.unsqueeze(1), 2);
    }
    d_attended.copy_(by_image(d_o));
  }

  void project_backward(int64_t i, const QkvRows& d_qkv, const at::Tensor& products,
                        const at::Tensor& branches, const at::Tensor& alpha, const at::Tensor& tau,
                        at::Tensor& d_q, at::Tensor& d_inner, at::Tensor& d_products,
                        at::Tensor& d_cross) const override {
    const int64_t cross_rows = i > 0 ? shape_.qkv_rows() : 0;
    // dS = alpha d[Q K V],  dalpha = sum over rows (d[Q K V] * S)
    at::Tensor d_alpha;
    for (int64_t part = 0; part < 3; ++part) {
      const auto rows = [&](const at::Tensor& t) {
        return t.narrow(1, part * shape_.rank, shape_.rank);
      };
      const auto d_rows = wide(d_qkv[static_cast<size_t>(part)].reshape(
          {spec_.networks, shape_.rank, spec_.images * shape_.tokens}));
      if (i == 0) {
        rows(d_products).copy_(d_rows);
        continue;
      }
      const auto d_s = d_rows.mul(alpha.unsqueeze(1));
      rows(d_products).copy_(d_s);
      rows(d_cross).copy_(d_s.mul(tau));
      const auto share = d_rows.mul(rows(products)).sum({1});
      d_alpha = d_alpha.defined() ? d_alpha.add_(share) : share;
    }
    // du = 2 dq O_i
    const auto o_i = wide(branches.narrow(1, i * shape_.up_rows, shape_.up_rows));
    d_cross.narrow(1, cross_rows, shape_.up_rows).copy_(o_i.mul(d_q.unsqueeze(1)).mul_(2));
    if (i == 0) return;
    // dkappa = -alpha^3 dalpha / 2, and 0 where the variance was clamped
    const auto unclamped = alpha.mul(tau).square_().mul_(kModuleNormEps).lt_(columns::kBelowOne);
    const auto d_kappa = alpha.pow(3).mul_(d_alpha).mul_(unclamped).mul_(-0.5);
    // kappa = (2 tau sum_j <O_j, G_j> + tau^2 q) / D:  dG_j = d<,> O_j
    const auto dim = static_cast<double>(shape_.dim);
    d_inner.copy_(d_kappa.mul(tau).mul_(2 / dim));
    auto d_g = earlier(d_products, shape_.qkv_rows(), i);
    at::mul_out(d_g, earlier(branches, 0, i), d_inner.unsqueeze(1));
    d_q.add_(d_kappa.mul(tau.square()).div_(dim));
  }

  void add_to_branches(int64_t i, const at::Tensor& products, const at::Tensor& through,
                       const at::Tensor& d_inner, at::Tensor& d_branches) const override {
    earlier(d_branches, 0, i)
        .addcmul_(wide(earlier(products, shape_.qkv_rows(), i)), d_inner.unsqueeze(1))
        .add_(through);
  }

 private:
  // The rows of all modules before i.
  at::Tensor earlier(const at::Tensor& t, int64_t first, int64_t i) const {
    return t.narrow(1, first, i * shape_.up_rows);
  }
  // [K, c, L] as [K, c, B, n]
  at::Tensor by_image(const at::Tensor& t) const {
    return t.unflatten(2, {spec_.images, shape_.tokens});
  }

  Shape shape_;
  ColumnsSpec spec_;
};

}  // namespace

std::unique_ptr<Columns> make_torch_columns(const ColumnsSpec& spec) {
  return std::make_unique<TorchColumns>(spec);
}

}  // namespace last::gemm
