#include "common/last/fused/crossed.h"

namespace last::fused {

bool crossed_form_pays(const NetworkConfig& network, int modules, int dim) {
  const double rank = static_cast<double>(network.rank);
  const double up = rank + (network.biases ? 1 : 0), m = modules;
  // Operations per token: of D -= O A and G += E Wc^T; of T, S and their counterparts in d_O.
  const double saved = (m - 1) * 8 * rank * dim;
  const double added =
      m * (m - 1) / 2 * (6 * rank * (rank + up) + 2 * up * up) + (m - 1) * (m - 1) * 2 * rank * up;
  return modules > 1 && 1.1 * added < saved;
}

CrossedLayout::CrossedLayout(const Shape& shape, int modules)
    : modules_(modules),
      qkv_size_(static_cast<long>(shape.qkv_stride) * shape.rank_stride),
      up_size_(static_cast<long>(shape.rank_stride) * shape.rank_stride),
      sum_size_(static_cast<long>(shape.up_rank + 3) / 4 * 4 *
                (shape.qkv_stride + shape.rank_stride)) {}

}  // namespace last::fused
