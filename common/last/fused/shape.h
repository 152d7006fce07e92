#pragma once

namespace last::fused {

// Columns of a tile [rows, D] are kept in strips of 48: strip s holds columns 48 s .. 48 s + width
// - 1 of all rows, row after row, so that a product over one strip stays in the first-level cache.
inline constexpr int kStrip = 48;
inline constexpr int kMaxRank = 64;
inline constexpr int kMaxQkv = 3 * kMaxRank;
inline constexpr int kMaxRankStride = kMaxRank + 16;  // of the crossed form: one row for a bias

// The sizes that kernels work with. No member functions: what is compiled for several instruction
// sets must not leave inline functions behind that the linker could choose for other code.
struct Shape {
  int tokens;       // n
  int rows;         // n rounded up to 4: rows of a tile; rows beyond n are zero
  int lanes;        // n rounded up to 16: columns of channel-major arrays [channel][token]
  int dim;          // D
  int padded_dim;   // D rounded up to 16; columns beyond D are zero
  int rank;         // r
  int heads;        // h
  int head_dim;     // r / h
  int up_rank;      // r; in the crossed form of the backward pass one more for A_up's bias
  int rank_stride;  // up_rank rounded up to 16: row length of O
  int qkv_stride;   // 3 r rounded up to 16: row length of [Q | K | V]
};

enum class FeatureType { kHalf, kBfloat16, kFloat };

}  // namespace last::fused
