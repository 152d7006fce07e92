#include "common/last/fused/crossed.h"

namespace last::fused {

bool crossed_form_pays(const NetworkConfig& network, int modules, int tokens, int dim) {
  if (modules < 2) return false;
  constexpr double kImages = 32, kSlower = 1.1;
  const double rank = static_cast<double>(network.rank), m = modules;
  const double up = rank + (network.biases ? 1 : 0);
  const double pairs = m * (m - 1) / 2, up_pairs = (m - 1) * (m - 1);
  // Operations per token: of G += E Wc^T and, but for the last module, D -= O A;
  const double saved = (m - 1) * 6 * rank * dim + (m - 2) * 2 * rank * dim;
  // of T, S and their counterparts in d_O;
  const double added = pairs * (6 * rank * (rank + up) + 2 * up * up) + up_pairs * 2 * rank * up;
  // and once per batch: of products of weights, and what T and S add to gradients.
  const double once = dim * (pairs * 6 * rank * (rank + 2 * up) + up_pairs * 2 * up * (rank + up));
  return kSlower * (added + once / (kImages * tokens)) < saved;
}

CrossedLayout::CrossedLayout(const Shape& shape, int modules)
    : modules_(modules),
      qkv_size_(static_cast<long>(shape.qkv_stride) * shape.rank_stride),
      up_size_(static_cast<long>(shape.rank_stride) * shape.rank_stride),
      sum_size_(static_cast<long>(shape.up_rank + 3) / 4 * 4 *
                (shape.qkv_stride + shape.rank_stride)) {}

}  // namespace last::fused
