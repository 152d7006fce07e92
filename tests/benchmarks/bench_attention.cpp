// The attention kernels, forward and backward of 32 images on one thread, beside torch's fused
// attention with autograd, and beside two products and a softmax. Counters: ms per image, torch's
// faster one, ratio.

#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/last/fused/kernels.h"
#include "common/last/fused/plan.h"
#include "tests/benchmarks/best_time.h"
#include "tests/common/last/fused/random_bank.h"

namespace last {
namespace {

constexpr int64_t kTokens = 197, kImages = 32;

double torch_seconds(int64_t heads, int64_t head_dim) {
  at::set_num_threads(1);
  const at::AutoGradMode with_gradients(true);
  std::vector<at::Tensor> qkv;
  for (int i = 0; i < 3; ++i) {
    qkv.push_back(at::randn({kImages, heads, kTokens, head_dim}).set_requires_grad(true));
  }
  const auto d_o = at::randn(qkv[0].sizes());
  const double fused = best_seconds(5, [&] {
    torch::autograd::grad({at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])}, qkv, {d_o});
  });
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const double plain = best_seconds(5, [&] {
    const auto p = at::softmax(at::matmul(qkv[0] * scale, qkv[1].transpose(-2, -1)), -1);
    torch::autograd::grad({at::matmul(p, qkv[2])}, qkv, {d_o});
  });
  return std::min(fused, plain);
}

// Arguments: heads, head dimension, bf16 products
void attention(benchmark::State& state) {
  const int64_t heads = state.range(0), head_dim = state.range(1);
  const bool bf16 = state.range(2) != 0;
  if (bf16 && fused::bf16_kernels() == nullptr) {
    state.SkipWithError("this processor has no unit for bf16 products");
    return;
  }
  const double torch = torch_seconds(heads, head_dim);
  BankShape shape;
  shape.tokens = kTokens;
  shape.network.rank = heads * head_dim;
  shape.network.heads = heads;
  const RandomBank bank = make_random_bank(shape, 1);
  const fused::Plan plan(bank.config.network, bank.config.backbone);
  const fused::Shape& s = plan.shape;
  const auto random = [&](int stride) { return at::randn({s.lanes + 4, stride}); };
  const at::Tensor qkv = random(s.qkv_stride), attended = random(s.rank_stride),
                   log_sum = random(s.heads), d_attended = random(s.rank_stride),
                   d_qkv = random(s.qkv_stride), scratch = at::randn({fused::attention_scratch(s)});
  d_attended.narrow(0, kTokens, s.lanes + 4 - kTokens).zero_();
  const fused::Kernels& kernels = bf16 ? *fused::bf16_kernels() : fused::kernels();
  const auto data = [](const at::Tensor& t) { return t.data_ptr<float>(); };
  double best = 1e300;
  for (auto _ : state) {
    const double start = seconds_now();
    for (int i = 0; i < kImages; ++i) {
      kernels.attention_forward(s,
                                {data(qkv), s.rows, data(attended), data(log_sum), data(scratch)});
      kernels.attention_backward(s, {data(qkv), data(attended), data(log_sum), data(d_attended),
                                     s.rows, data(d_qkv), data(scratch)});
    }
    best = std::min(best, seconds_now() - start);
  }
  state.counters["ms"] = best * 1e3 / kImages;
  state.counters["torch_ms"] = torch * 1e3 / kImages;
  state.counters["ratio"] = torch / best;
  // Multiplications and additions of the seven products, without the exponentials.
  state.counters["GFLOP/s"] =
      14e-9 * kTokens * kTokens * static_cast<double>(heads * head_dim) * kImages / best;
}

}  // namespace
}  // namespace last

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("attention", last::attention)
      ->Args({4, 4, 0})
      ->Args({2, 8, 0})
      ->ArgsProduct({{1}, {16, 32, 64}, {0, 1}})
      ->ArgNames({"h", "d", "bf16"})
      ->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
