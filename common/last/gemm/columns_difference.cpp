#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>

#include "common/last/gemm/columns.h"

namespace last::gemm {
namespace {

// The same numbers for every caller.
class RandomTensors {
 public:
  explicit RandomTensors(const ColumnsSpec& spec)
      : spec_(spec), generator_(at::detail::createCPUGenerator(17)) {}

  at::Tensor operator()(at::IntArrayRef sizes, at::ScalarType type) {
    return at::empty(sizes, at::kFloat).normal_(0, 1, generator_).to(type).to(spec_.device);
  }
  // Positive ones near one.
  at::Tensor positive(at::IntArrayRef sizes) {
    return (*this)(sizes, at::kFloat).mul_(0.1).add_(1).abs_();
  }
  // [K, r, B, n], a column's rows one after the other or neighbouring tokens.
  at::Tensor rows(bool token_major) {
    const int64_t networks = spec_.networks, images = spec_.images;
    const int64_t rank = spec_.shape.rank, tokens = spec_.shape.tokens;
    if (token_major) {
      return (*this)({networks, images, tokens, rank}, spec_.attention).permute({0, 3, 1, 2});
    }
    return (*this)({networks, images, rank, tokens}, spec_.attention).transpose(1, 2);
  }

 private:
  const ColumnsSpec& spec_;
  at::Generator generator_;
};

// All that the five functions write for module i.
std::vector<at::Tensor> outputs(const Columns& columns, const ColumnsSpec& spec, int64_t i,
                                bool token_major, bool clamped) {
  const Shape& shape = spec.shape;
  const int64_t networks = spec.networks, s = shape.up_rows, rank3 = shape.qkv_rows();
  const int64_t count = spec.images * shape.tokens, before = i * s;
  RandomTensors random(spec);
  const auto own = [&](int64_t rows) { return random({networks, rows, count}, spec.products); };
  const auto numbers = [&] { return random({networks, count}, at::kFloat); };
  const auto qkv = [&] {
    return QkvRows{random.rows(token_major), random.rows(token_major), random.rows(token_major)};
  };

  const int64_t all_up_rows = shape.modules() * s;
  auto products = own(rank3 + before), branches = own(all_up_rows), gram_sums = own(s);
  auto q = random.positive({networks, count}), alpha = random.positive({networks, count});
  const auto tau = random.positive({count});
  if (clamped) {  // a variance far below zero
    const auto o = branches.narrow(1, 0, before);
    o.abs_().add_(2);
    products.narrow(1, rank3, before).copy_(o).mul_(-shape.dim);
  }
  // Cut out of larger ones, as the engine's are.
  const auto constant = random({networks, 2, rank3}, at::kFloat).select(1, 1);
  auto gram = random({networks, s + 1, s + 2}, at::kFloat).narrow(1, 1, s).narrow(2, 2, s);
  auto cross = own(rank3 + s);
  if (i == 0) cross.reset();
  if (i + 1 == shape.modules()) {
    gram.reset();
    gram_sums.reset();
  }
  const QkvRows projected = qkv();
  columns.project(i, products, cross, branches, q, tau, constant, alpha, projected);
  columns.add_branch(i, random.rows(token_major), cross, gram, branches, gram_sums, q);

  auto d_branches = random({networks, all_up_rows, count}, at::kFloat);
  auto d_attended = random.rows(token_major);
  auto d_q = numbers(), d_inner = numbers();
  columns.attended_gradient(i, d_branches, gram_sums, d_q, d_attended);
  auto d_products = own(rank3 + before), d_cross = own((i > 0 ? rank3 : 0) + s);
  columns.project_backward(i, qkv(), products, branches, alpha, tau, d_q, d_inner, d_products,
                           d_cross);
  if (i > 0) columns.add_to_branches(i, products, own(before), d_inner, d_branches);
  return {products, alpha,      projected[0], projected[1], projected[2], branches, gram_sums,
          q,        d_attended, d_products,   d_cross,      d_inner,      d_q,      d_branches};
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  const auto largest = [](const at::Tensor& t) {
    return t.to(at::kDouble).abs().max().item<double>();
  };
  const double scale = largest(b);
  const double result = largest(a.to(at::kDouble).sub(b.to(at::kDouble))) / (scale > 0 ? scale : 1);
  return result == result ? result : std::numeric_limits<double>::infinity();
}

}  // namespace

double largest_difference(const Columns& a, const Columns& b, const ColumnsSpec& spec) {
  double result = 0;
  for (int64_t i = 0; i < spec.shape.modules(); ++i) {
    for (const bool token_major : {false, true}) {
      for (const bool clamped : {false, true}) {
        const auto of_a = outputs(a, spec, i, token_major, clamped);
        const auto of_b = outputs(b, spec, i, token_major, clamped);
        for (size_t t = 0; t < of_a.size(); ++t) {
          if (of_a[t].defined()) result = std::max(result, difference(of_a[t], of_b[t]));
        }
      }
    }
  }
  return result;
}

}  // namespace last::gemm
