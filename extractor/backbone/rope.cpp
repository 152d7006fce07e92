#include "extractor/backbone/rope.h"

#include <numbers>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sin.h>

#include "common/error.h"

namespace last {
namespace {

// Of `count` rows or columns, in the units of `kind`.
at::Tensor places(RopeKind kind, int64_t count, int64_t reference) {
  const at::Tensor index = at::arange(count, c10::ScalarType::Float);
  const auto n = static_cast<double>(count);
  if (kind == RopeKind::kEva) return index / n * static_cast<double>(reference);
  return (index + 0.5) / n * 2.0 - 1.0;
}

// [P]: radians per unit of place
at::Tensor frequencies(const RopeConfig& config, int64_t pairs, const at::Tensor& periods) {
  const at::Tensor exponent =
      at::arange(pairs, c10::ScalarType::Float) / static_cast<double>(pairs);
  if (config.kind == RopeKind::kEva) return 1.0 / at::pow(config.base, exponent);
  const at::Tensor period = periods.defined() ? periods : at::pow(config.base, exponent);
  return 2.0 * std::numbers::pi / period;
}

}  // namespace

RopeConfig eva_rope() { return {RopeKind::kEva, 10000, 16, 16}; }

RopeConfig dinov3_rope() { return {RopeKind::kDinov3, 100, 0, 0}; }

nlohmann::json to_json(const RopeConfig& config) {
  switch (config.kind) {
    case RopeKind::kNone:
      return nullptr;
    case RopeKind::kEva:
      return {{"kind", "eva"},
              {"base", config.base},
              {"reference", {config.reference_height, config.reference_width}}};
    case RopeKind::kDinov3:
      return {{"kind", "dinov3"}, {"base", config.base}};
  }
  fail("a rotary position embedding without a name");
}

RopeTables make_rope_tables(const RopeConfig& config, int64_t head_dim, int64_t grid_height,
                            int64_t grid_width, const at::Tensor& periods) {
  if (config.kind == RopeKind::kNone) return {};
  if (head_dim % 4 != 0) {
    fail("rotary position embeddings need a multiple of 4 channels per head, not ", head_dim);
  }
  const int64_t pairs = head_dim / 4;
  const at::Tensor frequency = frequencies(config, pairs, periods);
  // [height, P] and [width, P]
  const at::Tensor rows =
      places(config.kind, grid_height, config.reference_height).unsqueeze(1) * frequency;
  const at::Tensor columns =
      places(config.kind, grid_width, config.reference_width).unsqueeze(1) * frequency;
  const at::Tensor angles = at::cat({rows.unsqueeze(1).expand({grid_height, grid_width, pairs}),
                                     columns.unsqueeze(0).expand({grid_height, grid_width, pairs})},
                                    -1)
                                .reshape({grid_height * grid_width, 2 * pairs});
  return {at::sin(angles), at::cos(angles)};
}

at::Tensor rotate_patches(const at::Tensor& x, const RopeTables& tables, RopeKind kind) {
  const int64_t patches = tables.sin.size(0), half = tables.sin.size(1);
  const int64_t prefix = x.size(2) - patches;
  // The pairs' two channels along an axis of their own.
  const bool interleaved = kind == RopeKind::kEva;
  const int64_t axis = interleaved ? -1 : -2;
  const auto pairs = [&](const at::Tensor& tensor) {
    return tensor.narrow(2, prefix, patches)
        .unflatten(-1, interleaved ? at::IntArrayRef{half, 2} : at::IntArrayRef{2, half});
  };
  at::Tensor result = at::empty_like(x, at::MemoryFormat::Contiguous);
  result.narrow(2, 0, prefix).copy_(x.narrow(2, 0, prefix));
  const at::Tensor in = pairs(x).to(c10::ScalarType::Float), out = pairs(result);
  const at::Tensor a = in.select(axis, 0), b = in.select(axis, 1);
  out.select(axis, 0).copy_(a * tables.cos - b * tables.sin);
  out.select(axis, 1).copy_(b * tables.cos + a * tables.sin);
  return result;
}

}  // namespace last
