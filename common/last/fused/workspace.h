#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/last/fused/plan.h"

namespace last::fused {

// One thread's memory: everything that lives while an image goes through a network. All arrays are
// fp32 and 64-byte aligned, zero at first.
class Workspace {
 public:
  explicit Workspace(const Plan& plan);

  static int64_t bytes(const Plan& plan);

  struct Module {
    float* qkv;       // Q, K, V [lanes, qkv_stride]
    float* attended;  // O [lanes, rank_stride]
    float* log_sum;   // [heads, lanes]
    float* means;     // mu [rows]
    float* rstd;      // [rows]
  };

  std::vector<float*> prefix;        // P per block, a tile
  std::vector<float*> prefix_means;  // [rows] mean of P over D
  std::vector<Module> modules;
  float* branch;           // D, a tile
  float* stream_gradient;  // G (or R, crossed.h), a tile
  float* branch_means;     // [rows]
  float* squares;          // [rows, 16]
  float* d_attended;       // [lanes, rank_stride]
  float* d_qkv;            // [lanes, qkv_stride]
  float* input_factors;    // [rows]
  float* later_factors;    // [rows] gamma (crossed.h)
  float* scaled_attended;  // gamma o O [lanes, rank_stride]
  float* crossed;          // one module's T and S with all before it
  float* attention;        // the attention kernels' scratch
  float* backward;         // backward_strip's scratch
  float* d_qkv_weight;     // one strip's
  float* d_up;
  float* d_up_bias;
  float* d_shift;          // [qkv_stride]
  float* pooled_attended;  // [rank_stride]
  float* base;             // [padded_dim] pooled z_m (or P_m)
  float* pooled;           // [padded_dim] pooled output
  float* pooled_gradient;  // [padded_dim]

 private:
  // Gives out the arrays, from `memory` (nullptr: only counts), and returns the bytes.
  int64_t lay_out(const Plan& plan, char* memory);

  Workspace() = default;
  std::shared_ptr<void> memory_;
};

}  // namespace last::fused
