#pragma once

#include <vector>

#include "common/backbone_info.h"
#include "common/last/config.h"
#include "common/last/fused/crossed.h"
#include "common/last/fused/shape.h"

namespace last::fused {

// What follows from the shape of network and backbone.
struct Plan {
  Plan(const NetworkConfig& network, const BackboneInfo& backbone,
       BackwardForm form = BackwardForm::kBest);

  Shape shape;
  NetworkConfig network;
  std::vector<int> maps;  // indices of the stored maps z_0, z_g, .., z_N; a linear probe: z_N
  int blocks;             // each has a prefix sum P of its own
  int modules;            // in all blocks together
  int crossed_modules;    // the first ones: those in the crossed form; 0 or at least 2
  CrossedLayout layout;   // of the crossed form, if there is any
  int maps_before_block;  // maps that are summed up before the first block's P is complete
  int strips;
  int pool_begin, pool_end;         // tokens that are pooled
  std::vector<float> pool_weights;  // [rows], 1 / (pool_end - pool_begin) or 0

  int block_of(int module) const { return module / static_cast<int>(network.modules); }
  long tile() const { return static_cast<long>(shape.rows) * shape.padded_dim; }
  int strip_width(int strip) const;  // with padding
  int strip_dims(int strip) const;   // without
  long strip_offset(int strip) const { return static_cast<long>(strip) * kStrip * shape.rows; }
  // Query rows of a module that anything depends on.
  int query_rows(int module) const;
};

}  // namespace last::fused
