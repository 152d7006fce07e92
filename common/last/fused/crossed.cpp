#include "common/last/fused/crossed.h"

namespace last::fused {

namespace {

// What the crossed form saves in its first `crossed` modules of `modules`, in operations per token.
double saved_operations(const NetworkConfig& network, int crossed, int modules, int tokens,
                        int dim) {
  constexpr double kImages = 32, kSlower = 1.1;
  const double rank = static_cast<double>(network.rank), up = rank + (network.biases ? 1 : 0);
  const double later = crossed - 1, pairs = later * crossed / 2, up_pairs = later * later;
  // G += E Wc^T and D -= O A, which the last of all modules doesn't need;
  const double rebuilt = crossed < modules ? later : later - 1;
  const double saved = later * 6 * rank * dim + rebuilt * 2 * rank * dim;
  // T, S and their counterparts in d_O;
  const double added = pairs * (6 * rank * (rank + up) + 2 * up * up) + up_pairs * 2 * rank * up;
  // and, once per batch, products of weights, and what T and S add to gradients.
  const double once = dim * (pairs * 6 * rank * (rank + 2 * up) + up_pairs * 2 * up * (rank + up));
  return saved - kSlower * (added + once / (kImages * tokens));
}

}  // namespace

int best_crossed_modules(const NetworkConfig& network, int modules, int tokens, int dim) {
  int best = 0;
  double most = 0;
  for (int crossed = 2; crossed <= modules; ++crossed) {
    const double saved = saved_operations(network, crossed, modules, tokens, dim);
    if (saved > most) {
      most = saved;
      best = crossed;
    }
  }
  return best;
}

CrossedLayout::CrossedLayout(const Shape& shape, int modules)
    : modules_(modules),
      qkv_size_(static_cast<long>(shape.qkv_stride) * shape.rank_stride),
      up_size_(static_cast<long>(shape.rank_stride) * shape.rank_stride),
      sum_size_(static_cast<long>(shape.up_rank + 3) / 4 * 4 *
                (shape.qkv_stride + shape.rank_stride)) {}

}  // namespace last::fused
