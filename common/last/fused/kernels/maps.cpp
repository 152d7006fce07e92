#include "common/last/fused/kernels/table.h"
#include "common/last/fused/kernels/vec.h"

// Reading backbone maps, in the store's type, and pooling.
namespace last::fused::LAST_ISA_NAMESPACE {
namespace {

template <FeatureType type>
[[gnu::always_inline]] inline Vec widen(const void* map, long at) {
  if constexpr (type == FeatureType::kFloat) {
    return load(static_cast<const float*>(map) + at);
  } else if constexpr (type == FeatureType::kHalf) {
    return widen_half(static_cast<const uint16_t*>(map) + at);
  } else {
    return widen_bfloat16(static_cast<const uint16_t*>(map) + at);
  }
}

// `count` numbers from `at` on, zero behind them
template <FeatureType type>
[[gnu::always_inline]] inline Vec widen_part(const void* map, long at, int count) {
  if (count >= kLanes) return widen<type>(map, at);
  if (count <= 0) return Vec{};
  if constexpr (type == FeatureType::kFloat) {
    return load_part(static_cast<const float*>(map) + at, count);
  } else {
    uint16_t part[kLanes] = {};
    for (int i = 0; i < count; ++i) part[i] = static_cast<const uint16_t*>(map)[at + i];
    return widen<type>(part, 0);
  }
}

template <FeatureType type>
void add_map_of(const Shape& shape, const void* map, const float* previous, float* sum_out,
                float* means) {
  for (int t = 0; t < shape.rows; ++t) {
    Vec total = {};
    for (int strip = 0; strip < shape.padded_dim; strip += kStrip) {
      const int width = shape.padded_dim - strip < kStrip ? shape.padded_dim - strip : kStrip;
      const long row = static_cast<long>(strip) * shape.rows + static_cast<long>(t) * width;
      for (int c = 0; c < width; c += kLanes) {
        Vec v = {};
        if (t < shape.tokens) {
          v = widen_part<type>(map, static_cast<long>(t) * shape.dim + strip + c,
                               shape.dim - strip - c);
          if (previous != nullptr) v += load(previous + row + c);
        }
        total += v;
        store(sum_out + row + c, v);
      }
    }
    means[t] = sum(total) / static_cast<float>(shape.dim);
  }
}

template <FeatureType type>
void pool_map_of(const Shape& shape, const void* map, int begin, int end, float* pooled) {
  const float weight = 1.f / static_cast<float>(end - begin);
  for (int c = 0; c < shape.padded_dim; c += kLanes) {
    Vec total = {};
    for (int t = begin; t < end; ++t) {
      total += widen_part<type>(map, static_cast<long>(t) * shape.dim + c, shape.dim - c);
    }
    store(pooled + c, load(pooled + c) + total * weight);
  }
}

}  // namespace

void add_map(const Shape& shape, const void* map, FeatureType type, const float* previous,
             float* sum_out, float* means) {
  switch (type) {
    case FeatureType::kHalf:
      return add_map_of<FeatureType::kHalf>(shape, map, previous, sum_out, means);
    case FeatureType::kBfloat16:
      return add_map_of<FeatureType::kBfloat16>(shape, map, previous, sum_out, means);
    case FeatureType::kFloat:
      return add_map_of<FeatureType::kFloat>(shape, map, previous, sum_out, means);
  }
}

void pool_map(const Shape& shape, const void* map, FeatureType type, int begin, int end,
              float* pooled) {
  switch (type) {
    case FeatureType::kHalf:
      return pool_map_of<FeatureType::kHalf>(shape, map, begin, end, pooled);
    case FeatureType::kBfloat16:
      return pool_map_of<FeatureType::kBfloat16>(shape, map, begin, end, pooled);
    case FeatureType::kFloat:
      return pool_map_of<FeatureType::kFloat>(shape, map, begin, end, pooled);
  }
}

void pool_tile(const Shape& shape, const float* tile, int begin, int end, float* pooled) {
  const float weight = 1.f / static_cast<float>(end - begin);
  for (int strip = 0; strip < shape.padded_dim; strip += kStrip) {
    const int width = shape.padded_dim - strip < kStrip ? shape.padded_dim - strip : kStrip;
    const float* first = tile + static_cast<long>(strip) * shape.rows;
    for (int c = 0; c < width; c += kLanes) {
      Vec total = {};
      for (int t = begin; t < end; ++t) total += load(first + t * width + c);
      store(pooled + strip + c, load(pooled + strip + c) + total * weight);
    }
  }
}

}  // namespace last::fused::LAST_ISA_NAMESPACE
