#include "common/last/gemm/shape.h"

namespace last::gemm {

Shape make_shape(const NetworkConfig& config, const BackboneInfo& backbone) {
  Shape shape;
  shape.dim = backbone.dim;
  shape.tokens = backbone.tokens;
  shape.rank = config.rank;
  shape.heads = config.heads;
  shape.modules_per_block = config.modules;
  shape.blocks = config.blocks(backbone.depth);
  shape.up_rows = config.rank + (config.biases ? 1 : 0);
  switch (config.pool) {
    case Pool::kMeanPatch:
      shape.first_pooled = backbone.prefix_tokens;
      shape.pooled = backbone.tokens - backbone.prefix_tokens;
      break;
    case Pool::kCls:
      break;
    case Pool::kMeanAll:
      shape.pooled = backbone.tokens;
      break;
  }
  return shape;
}

}  // namespace last::gemm
