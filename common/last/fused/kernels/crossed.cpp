#include "common/last/fused/kernels/pack.h"
#include "common/last/fused/kernels/products.h"
#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/transpose.h"

// The products of the crossed form (crossed.h), all of them small.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

constexpr int kBlock = 64;  // tokens

struct Columns {
  int begin, width, dims;  // of a strip; with padding, and without
};

Columns strip_columns(const Shape& shape, int strip) {
  const int begin = strip * kStrip;
  const int padded = shape.padded_dim - begin, dims = shape.dim - begin;
  return {begin, padded < kStrip ? padded : kStrip, dims < kStrip ? dims : kStrip};
}

int round_to_4(int count) { return (count + 3) / 4 * 4; }

void pack_qkv_strip(const Shape& shape, const Columns& at, const ModuleView& module, float* out) {
  pack_qkv(shape, at.width, at.dims,
           module.qkv_weight + static_cast<long>(at.begin) * 3 * shape.rank,
           module.norm_weight + at.begin, module.column_means, out);
}

// out [rank_stride, 48] = sign (A - its rows' means), the bias being row r; zero in the padding
void pack_centered_up(const Shape& shape, const Columns& at, const ModuleView& module, float sign,
                      float* out) {
  for (int k = 0; k < shape.rank_stride; ++k) {
    const float* row = nullptr;
    float mean = 0;
    if (k < shape.rank) {
      row = module.up_weight + static_cast<long>(k) * shape.dim;
      mean = module.up_means[k];
    } else if (k < shape.up_rank) {
      row = module.up_bias;
      mean = module.up_bias_mean;
    }
    const int dims = row == nullptr ? 0 : at.dims;
    for (int c = 0; c < at.width; c += kLanes) {
      store(out + k * kStrip + c,
            row == nullptr ? Vec{} : sign * (load_part(row + at.begin + c, dims - c) - mean));
    }
    for (int c = dims; c < at.width; ++c) out[k * kStrip + c] = 0;
  }
}

// out [width, rank_stride] = A^T, zero in the padding
void pack_up_transposed(const Shape& shape, const Columns& at, const float* up, float* out) {
  alignas(64) float rows[kMaxRankStride * kStrip];
  pack_up(shape, at.width, at.dims, up + at.begin, rows);
  for (int i = shape.rank * at.width; i < shape.rank_stride * at.width; ++i) rows[i] = 0;
  transpose_back(rows, at.width, at.width, shape.rank_stride, 1, out, shape.rank_stride);
}

// target [rows, columns] += sign * source
void add(const float* source, int source_stride, int rows, int columns, float sign, float* target,
         long stride) {
  for (int i = 0; i < rows; ++i) {
    for (int c = 0; c < columns; c += kLanes) {
      float* out = target + i * stride + c;
      store_part(out, load_part(out, columns - c) + sign * load(source + i * source_stride + c),
                 columns - c);
    }
  }
}

// d_A and its bias's row, both from the strip's first column on, += source [up_rank, 48]
void add_up(const Shape& shape, const Columns& at, const float* source,
            const ModuleGradients& out) {
  add(source, kStrip, shape.rank, at.dims, 1, out.up_weight + at.begin, shape.dim);
  if (out.up_bias != nullptr) {
    add(source + shape.rank * kStrip, kStrip, 1, at.dims, 1, out.up_bias + at.begin, shape.dim);
  }
}

}  // namespace

void cross_qkv(const Shape& shape, const ModuleView& module, const float* up, float* out) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float up_t[kStrip * kMaxRankStride];
  for (int strip = 0; strip * kStrip < shape.padded_dim; ++strip) {
    const Columns at = strip_columns(shape, strip);
    pack_qkv_strip(shape, at, module, weight);
    pack_up_transposed(shape, at, up, up_t);
    outer<kRows>(weight, shape.qkv_stride, round_to_4(3 * shape.rank), up_t, shape.rank_stride,
                 whole_vectors(shape.rank), 0, at.width, strip == 0, out, shape.rank_stride);
  }
}

void cross_up(const Shape& shape, const ModuleView& module, const float* up, float* out) {
  alignas(64) float centered[kMaxRankStride * kStrip];
  alignas(64) float centered_t[kStrip * kMaxRankStride];
  alignas(64) float up_t[kStrip * kMaxRankStride];
  for (int strip = 0; strip * kStrip < shape.padded_dim; ++strip) {
    const Columns at = strip_columns(shape, strip);
    pack_centered_up(shape, at, module, -1, centered);
    transpose_back(centered, kStrip, at.width, shape.rank_stride, 1, centered_t, shape.rank_stride);
    pack_up_transposed(shape, at, up, up_t);
    outer<kRows>(centered_t, shape.rank_stride, round_to_4(shape.up_rank), up_t, shape.rank_stride,
                 whole_vectors(shape.rank), 0, at.width, strip == 0, out, shape.rank_stride);
  }
}

void scale_rows(const Shape& shape, const float* in, const float* factors, bool overwrite,
                float* out) {
  for (int t = 0; t < shape.rows; ++t) {
    for (int c = 0; c < shape.rank_stride; c += kLanes) {
      const int at = t * shape.rank_stride + c;
      const Vec scaled = load(in + at) * factors[t];
      store(out + at, overwrite ? scaled : load(out + at) + scaled);
    }
  }
}

void cross_tokens(const Shape& shape, const float* const* attended, int count, const float* right,
                  int right_stride, int columns, float* out, int stride) {
  const int up_rows = round_to_4(shape.up_rank);
  // A block of `right` stays in the first-level cache.
  for (int begin = 0; begin < shape.rows; begin += kBlock) {
    const int end = begin + kBlock < shape.rows ? begin + kBlock : shape.rows;
    for (int i = 0; i < count; ++i) {
      outer<kRows>(attended[i], shape.rank_stride, up_rows, right, right_stride,
                   whole_vectors(columns), begin, end, begin == 0,
                   out + static_cast<long>(i) * up_rows * stride, stride);
    }
  }
}

void add_crossed(const Shape& shape, const CrossedTerm* terms, int count, bool overwrite,
                 float* out) {
  for (int i = 0; i < count; ++i) {
    project(terms[i].rows, terms[i].stride, terms[i].weights, whole_vectors(shape.rank),
            shape.rank_stride, terms[i].depth, 0, shape.rows, overwrite && i == 0, out);
  }
}

void add_crossed_gradients(const Shape& shape, const ModuleView* modules, int count,
                           const float* sums, int strip, const ModuleGradients* gradients) {
  alignas(64) float weight[kStrip * kMaxQkv];
  alignas(64) float weight_t[kMaxQkv * kStrip];
  alignas(64) float up[kMaxRankStride * kStrip];
  alignas(64) float product[kMaxRankStride * kStrip];
  alignas(64) float d_weight[kStrip * kMaxQkv];
  const Columns at = strip_columns(shape, strip);
  const int up_rows = round_to_4(shape.up_rank), columns = 3 * shape.rank;
  const int stride = shape.qkv_stride + shape.rank_stride;
  const auto t = [&](int i, int l) {  // CrossedLayout::sums
    return sums + (static_cast<long>(l) * (l + 1) / 2 + i) * up_rows * stride;
  };
  const auto s = [&](int i, int k) { return t(i, k) + shape.qkv_stride; };
  // d_A_i += T_il Wc_l^T
  for (int l = 1; l < count; ++l) {
    pack_qkv_strip(shape, at, modules[l], weight);
    transpose(weight, shape.qkv_stride, at.width, columns, 1, weight_t, kStrip);
    for (int i = 0; i < l; ++i) {
      project(t(i, l), stride, weight_t, at.width, kStrip, columns, 0, up_rows, true, product);
      add_up(shape, at, product, gradients[i]);
    }
  }
  for (int k = 0; k + 1 < count; ++k) {
    pack_centered_up(shape, at, modules[k], 1, up);
    // d_Wc_l += Abar_k^T T_kl
    for (int l = k + 1; l < count; ++l) {
      outer<kRows>(up, kStrip, at.width, t(k, l), stride, whole_vectors(columns), 0, shape.up_rank,
                   true, d_weight, shape.qkv_stride);
      add(d_weight, shape.qkv_stride, at.dims, columns, 1,
          gradients[l].qkv_weight + static_cast<long>(at.begin) * columns, columns);
    }
    // d_A_i -= S_ik Abar_k
    pack_centered_up(shape, at, modules[k], -1, up);
    for (int i = 0; i + 1 < count; ++i) {
      if (i <= k) {
        project(s(i, k), stride, up, at.width, kStrip, shape.up_rank, 0, up_rows, true, product);
      } else {
        outer<kRows>(s(k, i), stride, up_rows, up, kStrip, at.width, 0, shape.up_rank, true,
                     product, kStrip);
      }
      add_up(shape, at, product, gradients[i]);
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
