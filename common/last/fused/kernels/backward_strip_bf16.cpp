#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/tiles.h"

// backward_strip.cpp with bf16 products; sums and the streams D and G stay in fp32.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kBlock = 64;  // rows at a time
constexpr int kDepth = 64;  // a strip's columns as the inner axis of a product

// What all strips of a module share, in bf16: made with the first one.
struct Rows {
  Rows(const Shape& shape, void* scratch)
      : tokens(round_up(shape.rows, kBlock)),
        qkv_depth(round_up(shape.qkv_stride, 32)),
        rank_depth(round_up(shape.rank_stride, 32)),
        e(static_cast<uint16_t*>(scratch)),
        o(e + static_cast<long>(tokens) * qkv_depth),
        e_t(o + static_cast<long>(tokens) * rank_depth),
        previous_o_t(e_t + static_cast<long>(tokens) * shape.qkv_stride),
        wide(reinterpret_cast<float*>(previous_o_t +
                                      static_cast<long>(tokens) * shape.rank_stride)) {}

  int tokens, qkv_depth, rank_depth;
  uint16_t* e;             // E [tokens, qkv_depth]
  uint16_t* o;             // O_j [tokens, rank_depth]
  uint16_t* e_t;           // E^T [qkv_stride, tokens]
  uint16_t* previous_o_t;  // O_{j-1}^T [rank_stride, tokens]
  float* wide;             // for transposing [qkv_stride, tokens]
};

// in [lanes, columns] -> bf16 [columns, tokens], zero from `lanes` on
void to_transposed_rows(const Shape& shape, const Rows& rows, const float* in, int columns,
                        uint16_t* out) {
  transpose(in, columns, shape.lanes, columns, 1, rows.wide, rows.tokens);
  for (int c = 0; c < columns; ++c) {
    for (int t = shape.lanes; t < rows.tokens; ++t) rows.wide[c * rows.tokens + t] = 0;
  }
  to_rows(rows.wide, rows.tokens, columns, rows.tokens, out, rows.tokens);
}

void prepare(const Shape& shape, const BackwardStrip& a, const Rows& rows) {
  to_rows(a.d_qkv, shape.qkv_stride, shape.lanes, shape.qkv_stride, rows.e, rows.qkv_depth);
  to_rows(a.attended, shape.rank_stride, shape.lanes, shape.rank_stride, rows.o, rows.rank_depth);
  to_transposed_rows(shape, rows, a.d_qkv, shape.qkv_stride, rows.e_t);
  if (a.previous_attended != nullptr) {
    to_transposed_rows(shape, rows, a.previous_attended, shape.rank_stride, rows.previous_o_t);
  }
}

// D -= branch + bias (kRebuild);  x = P - mu + D
template <BackwardStrip::Branch kMode>
void remove_branch(const BackwardStrip& a, const float* branch, const float* bias, int begin,
                   int end, float* x) {
  for (int row = begin; row < end; ++row) {
    const Vec mean = broadcast(a.means[row]);
    for (int c = 0; c < a.width; c += kLanes) {
      const int at = row * a.width + c;
      Vec v = load(a.prefix + at) - mean;
      if constexpr (kMode != BackwardStrip::Branch::kZero) {
        Vec d = load(a.branch + at);
        if constexpr (kMode == BackwardStrip::Branch::kRebuild) {
          d -= load(branch + (row - begin) * kStrip + c) + load(bias + c);
          store(a.branch + at, d);
        }
        v += d;
      }
      store(x + (row - begin) * kStrip + c, v);
    }
  }
}

// G += E Wc^T - c x, the product being in g [rows, 48]; leaves G there, too.
void add_stream_gradient(const BackwardStrip& a, const float* pool_gradient, const float* x,
                         int begin, int end, float* g) {
  for (int row = begin; row < end; ++row) {
    const Vec factor = broadcast(a.input_factors[row]);
    for (int c = 0; c < a.width; c += kLanes) {
      const int in_block = (row - begin) * kStrip + c;
      float* stream = a.stream_gradient + row * a.width + c;
      const Vec before =
          a.pool_gradient != nullptr ? a.pool_weights[row] * load(pool_gradient + c) : load(stream);
      const Vec v = (before + load(g + in_block)) - factor * load(x + in_block);
      store(stream, v);
      store(g + in_block, v);
    }
  }
}

void add_rows(const float* g, int width, int rows, bool overwrite, float* sums) {
  for (int c = 0; c < width; c += kLanes) {
    Vec s = overwrite ? Vec{} : load(sums + c);
    for (int row = 0; row < rows; ++row) s += load(g + row * kStrip + c);
    store(sums + c, s);
  }
}

void clear_rows(float* x, int begin, int end) {
  for (int i = begin * kStrip; i < end * kStrip; ++i) x[i] = 0;
}

}  // namespace

void backward_strip(const Shape& shape, const BackwardStrip& a) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float weight_t[kMaxQkv * kStrip];
  alignas(64) float up[kMaxRank * kStrip];
  alignas(64) float up_t[kStrip * kMaxRank];
  alignas(64) float bias[kStrip];
  alignas(64) float pool_gradient[kStrip];
  alignas(64) float x[kBlock * kStrip];
  alignas(64) float g[kBlock * kStrip];
  alignas(64) float d_weight_t[kMaxQkv * kStrip];
  alignas(64) uint16_t up_pairs[kMaxRank * kStrip];
  alignas(64) uint16_t weight_t_pairs[kMaxQkv * kStrip];
  alignas(64) uint16_t up_t_pairs[kDepth * kMaxRank];
  alignas(64) uint16_t block_pairs[kBlock * kStrip];
  alignas(64) uint16_t g_rows[kBlock * kDepth];
  const TileUnit unit;
  const Rows rows(shape, a.scratch);
  const int columns = a.width / 16, qkv_tiles = shape.qkv_stride / 16;
  const int rank_tiles = shape.rank_stride / 16;
  const bool has_previous = a.previous_attended != nullptr;
  if (a.first) prepare(shape, a, rows);
  if (a.branch_mode == BackwardStrip::Branch::kRebuild) {
    pack_up(shape, a.width, a.dims, a.up, up);
    pack_bias(a.width, a.dims, a.up_bias, bias);
    to_pairs(up, a.width, shape.rank, a.width, up_pairs);
  }
  if (has_previous) {
    pack_qkv(shape, a.width, a.dims, a.qkv_weight, a.norm_weight, a.column_means, weight);
    transpose(weight, shape.qkv_stride, a.width, shape.qkv_stride, 1, weight_t, kStrip);
    to_pairs(weight_t, kStrip, shape.qkv_stride, a.width, weight_t_pairs);
    pack_up(shape, a.width, a.dims, a.previous_up, up);
    for (int i = shape.rank * a.width; i < shape.rank_stride * a.width; ++i) up[i] = 0;
    transpose_back(up, a.width, a.width, shape.rank_stride, 1, up_t, shape.rank_stride);
    to_pairs(up_t, shape.rank_stride, a.width, shape.rank_stride, up_t_pairs);
    if (a.pool_gradient != nullptr) pack_bias(a.width, a.dims, a.pool_gradient, pool_gradient);
  }
  for (int begin = 0; begin < shape.rows; begin += kBlock) {
    const int end = begin + kBlock < shape.rows ? begin + kBlock : shape.rows;
    const int tiles = (end - begin + 15) / 16;
    const bool first = begin == 0;
    if (a.branch_mode == BackwardStrip::Branch::kRebuild) {
      multiply(rows.o + static_cast<long>(begin) * rows.rank_depth, rows.rank_depth, tiles,
               up_pairs, 2 * a.width, columns, round_up(shape.rank, 32) / 32, true, g, kStrip);
    }
    switch (a.branch_mode) {
      case BackwardStrip::Branch::kZero:
        remove_branch<BackwardStrip::Branch::kZero>(a, g, bias, begin, end, x);
        break;
      case BackwardStrip::Branch::kKeep:
        remove_branch<BackwardStrip::Branch::kKeep>(a, g, bias, begin, end, x);
        break;
      case BackwardStrip::Branch::kRebuild:
        remove_branch<BackwardStrip::Branch::kRebuild>(a, g, bias, begin, end, x);
        break;
    }
    clear_rows(x, end - begin, kBlock);
    // d loss / d (diag(gamma) A) = x^T E, transposed
    to_pairs(x, kStrip, kBlock, a.width, block_pairs);
    multiply(rows.e_t + begin, rows.tokens, qkv_tiles, block_pairs, 2 * a.width, columns,
             kBlock / 32, first, d_weight_t, kStrip);
    if (!has_previous) continue;
    // G += E Wc^T - c x
    multiply(rows.e + static_cast<long>(begin) * rows.qkv_depth, rows.qkv_depth, tiles,
             weight_t_pairs, 2 * a.width, columns, rows.qkv_depth / 32, true, g, kStrip);
    add_stream_gradient(a, pool_gradient, x, begin, end, g);
    clear_rows(g, end - begin, kBlock);
    // d_up = O^T G,  d_O = G A_up^T
    to_pairs(g, kStrip, kBlock, a.width, block_pairs);
    multiply(rows.previous_o_t + begin, rows.tokens, rank_tiles, block_pairs, 2 * a.width, columns,
             kBlock / 32, first, a.d_up, kStrip);
    if (a.d_up_bias != nullptr) add_rows(g, a.width, end - begin, first, a.d_up_bias);
    to_rows(g, kStrip, 16 * tiles, a.width, g_rows, kDepth);
    multiply(g_rows, kDepth, tiles, up_t_pairs, 2 * shape.rank_stride, rank_tiles,
             round_up(a.width, 32) / 32, a.first, a.d_attended + begin * shape.rank_stride,
             shape.rank_stride);
  }
  transpose(d_weight_t, kStrip, shape.qkv_stride, a.width, 1, a.d_qkv_weight, shape.qkv_stride);
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
