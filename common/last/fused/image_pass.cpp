#include "common/last/fused/image_pass.h"

#include <cstring>
#include <utility>

namespace last::fused {

void ImagePass::load(const void* features, FeatureType type) {
  const int element = type == FeatureType::kFloat ? 4 : 2;
  const int64_t map_bytes = static_cast<int64_t>(shape_.tokens) * shape_.dim * element;
  const auto map = [&](size_t i) {
    return static_cast<const char*>(features) + plan_.maps[i] * map_bytes;
  };
  // P_i = P_{i-1} + z_i
  size_t next = 0;
  for (size_t block = 0; block < work_.prefix.size(); ++block) {
    const int add = block == 0 ? plan_.maps_before_block : 1;
    for (int i = 0; i < add; ++i) {
      const float* previous = i > 0       ? work_.prefix[block]
                              : block > 0 ? work_.prefix[block - 1]
                                          : nullptr;
      kernels_.add_map(shape_, map(next++), type, previous, work_.prefix[block],
                       work_.prefix_means[block]);
    }
  }
  // The output's constant part, pooled: z_m, or P_m without bias correction.
  std::memset(work_.base, 0, sizeof(float) * static_cast<size_t>(shape_.padded_dim));
  const size_t last = plan_.maps.size() - 1;
  for (size_t i = plan_.network.bias_correction ? last : 0; i <= last; ++i) {
    kernels_.pool_map(shape_, map(i), type, plan_.pool_begin, plan_.pool_end, work_.base);
  }
}

const float* ImagePass::forward(std::span<const ModuleView> modules, const Kernels& kernels) {
  std::memset(work_.branch_means, 0, sizeof(float) * static_cast<size_t>(shape_.rows));
  for (int module = 0; module < plan_.modules; ++module) forward_module(modules, module, kernels);
  // pool(z_m + D_M),  D_M = D_{M-1} + O_M A_M + bias
  std::memcpy(work_.pooled, work_.base, sizeof(float) * static_cast<size_t>(shape_.padded_dim));
  if (plan_.modules > 1) {
    kernels.pool_tile(shape_, work_.branch, plan_.pool_begin, plan_.pool_end, work_.pooled);
  }
  if (plan_.modules > 0) {
    const ModuleView& last = modules.back();
    kernels.pool_attended(shape_, work_.modules.back().attended, plan_.pool_weights.data(),
                          work_.pooled_attended);
    kernels.add_pooled_branch(shape_, work_.pooled_attended, last.up_weight, last.up_bias,
                              work_.pooled);
  }
  return work_.pooled;
}

void ImagePass::forward_module(std::span<const ModuleView> modules, int module,
                               const Kernels& kernels) {
  const auto index = static_cast<size_t>(module);
  const auto block = static_cast<size_t>(plan_.block_of(module));
  const ModuleView& view = modules[index];
  const Workspace::Module& kept = work_.modules[index];
  for (int t = 0; t < shape_.rows; ++t) {
    kept.means[t] = work_.prefix_means[block][t] + work_.branch_means[t];
  }
  for (int strip = 0; strip < plan_.strips; ++strip) {
    const int d = strip * kStrip;
    ForwardStrip a = {};
    a.width = plan_.strip_width(strip);
    a.dims = plan_.strip_dims(strip);
    a.prefix = work_.prefix[block] + plan_.strip_offset(strip);
    a.branch = work_.branch + plan_.strip_offset(strip);
    a.means = kept.means;
    if (module > 0) {
      const ModuleView& previous = modules[index - 1];
      a.attended = work_.modules[index - 1].attended;
      a.up = previous.up_weight + d;
      a.up_bias = previous.up_bias == nullptr ? nullptr : previous.up_bias + d;
      a.branch_is_zero = module == 1;
    }
    a.qkv_weight = view.qkv_weight + static_cast<long>(d) * 3 * shape_.rank;
    a.norm_weight = view.norm_weight + d;
    a.column_means = view.column_means;
    a.first = strip == 0;
    a.squares = work_.squares;
    a.qkv = kept.qkv;
    kernels.forward_strip(shape_, a);
  }
  kernels.normalize(shape_, work_.squares, static_cast<float>(kModuleNormEps), view.shift,
                    kept.rstd, kept.qkv);
  kernels.attention_forward(
      shape_, {kept.qkv, plan_.query_rows(module), kept.attended, kept.log_sum, work_.attention});
  if (shape_.up_rank > shape_.rank) {
    for (int t = 0; t < shape_.rows; ++t) {
      kept.attended[static_cast<long>(t) * shape_.rank_stride + shape_.rank] = 1;
    }
  }
  if (module + 1 < plan_.modules) {
    kernels.advance_means(shape_, kept.attended, view.up_means, view.up_bias_mean,
                          work_.branch_means);
  }
}

void ImagePass::backward(std::span<const ModuleView> modules,
                         std::span<const ModuleGradients> gradients, const CrossedNetwork& crossed,
                         const Turn& turn) {
  if (plan_.modules == 0) return;
  std::memset(work_.later_factors, 0, sizeof(float) * static_cast<size_t>(shape_.rows));
  pooled_branch_backward(modules.back(), gradients.back(), turn);
  for (int module = plan_.modules - 1; module >= 0; --module) {
    backward_module(modules, gradients, crossed, module, turn);
  }
}

void ImagePass::pooled_branch_backward(const ModuleView& module, const ModuleGradients& gradients,
                                       const Turn& turn) {
  const float* gradient = work_.pooled_gradient;
  kernels_.pooled_backward(shape_, plan_.pool_weights.data(), module.up_weight, gradient,
                           work_.d_attended);
  const auto place = static_cast<size_t>(plan_.modules) * static_cast<size_t>(plan_.strips);
  turn.take(place, [&] {
    kernels_.add_outer(work_.pooled_attended, shape_.rank, gradient, shape_.dim, turn.overwrites(),
                       gradients.up_weight);
    if (gradients.up_bias != nullptr) {
      kernels_.add_block(gradient, 0, 1, shape_.dim, turn.overwrites(), gradients.up_bias, 0);
    }
  });
}

void ImagePass::backward_module(std::span<const ModuleView> modules,
                                std::span<const ModuleGradients> gradients,
                                const CrossedNetwork& crossed, int module, const Turn& turn) {
  const auto index = static_cast<size_t>(module);
  const auto block = static_cast<size_t>(plan_.block_of(module));
  const bool last = module == plan_.modules - 1, is_crossed = module < plan_.crossed_modules;
  const ModuleView& view = modules[index];
  const Workspace::Module& kept = work_.modules[index];
  kernels_.attention_backward(shape_, {kept.qkv, kept.attended, kept.log_sum, work_.d_attended,
                                       plan_.query_rows(module), work_.d_qkv, work_.attention});
  kernels_.normalize_backward(shape_, kept.qkv, view.shift, kept.rstd, work_.d_qkv,
                              work_.input_factors, work_.d_shift);
  if (is_crossed) cross_module(crossed, module, turn);
  const float* d_qkv = is_crossed ? kept.qkv : work_.d_qkv;
  for (int strip = 0; strip < plan_.strips; ++strip) {
    const int d = strip * kStrip;
    BackwardStrip a = {};
    a.width = plan_.strip_width(strip);
    a.dims = plan_.strip_dims(strip);
    a.prefix = work_.prefix[block] + plan_.strip_offset(strip);
    a.branch = work_.branch + plan_.strip_offset(strip);
    a.means = is_crossed ? work_.prefix_means[block] : kept.means;
    // forward() left D_{M-1}, the last module's input; the first one's is D_0 = 0.
    a.branch_mode = module == 0 || is_crossed ? BackwardStrip::Branch::kZero
                    : last                    ? BackwardStrip::Branch::kKeep
                                              : BackwardStrip::Branch::kRebuild;
    a.attended = kept.attended;
    a.up = view.up_weight + d;
    a.up_bias = view.up_bias == nullptr ? nullptr : view.up_bias + d;
    a.qkv_weight = view.qkv_weight + static_cast<long>(d) * 3 * shape_.rank;
    a.norm_weight = view.norm_weight + d;
    a.column_means = view.column_means;
    a.d_qkv = d_qkv;
    a.input_factors = work_.input_factors;
    a.crossed = is_crossed;
    a.first = strip == 0;
    a.scratch = work_.backward;
    a.d_qkv_weight = work_.d_qkv_weight;
    if (module > 0) {
      a.stream_gradient = work_.stream_gradient + plan_.strip_offset(strip);
      a.pool_weights = plan_.pool_weights.data();
      a.pool_gradient = last ? work_.pooled_gradient + d : nullptr;
      a.previous_attended = work_.modules[index - 1].attended;
      a.previous_up = modules[index - 1].up_weight + d;
      a.d_attended = work_.d_attended;
      a.d_up = work_.d_up;
      a.d_up_bias = gradients[index - 1].up_bias == nullptr ? nullptr : work_.d_up_bias;
    }
    kernels_.backward_strip(shape_, a);
    add_strip(gradients, module, strip, turn);
  }
  if (is_crossed && module > 0) add_crossed_attended(crossed, module - 1);
}

// T and S of the module with those before it (and, where a pair has none, numbers that nobody
// reads). From here on its E stands in the place of Q, K, V, and gamma o O in that of O.
void ImagePass::cross_module(const CrossedNetwork& crossed, int module, const Turn& turn) {
  Workspace::Module& kept = work_.modules[static_cast<size_t>(module)];
  const bool last = module == plan_.crossed_modules - 1;
  const int stride = shape_.qkv_stride + shape_.rank_stride;
  const long first = plan_.layout.sums(0, module);
  std::swap(kept.qkv, work_.d_qkv);
  attended_.clear();
  for (int i = 0; i <= module; ++i) {
    attended_.push_back(work_.modules[static_cast<size_t>(i)].attended);
  }
  kernels_.cross_tokens(shape_, attended_.data(), module, kept.qkv, shape_.qkv_stride,
                        3 * shape_.rank, work_.crossed, stride);
  if (!last) {
    kernels_.scale_rows(shape_, kept.attended, work_.later_factors, true, work_.scaled_attended);
    kernels_.cross_tokens(shape_, attended_.data(), module + 1, work_.scaled_attended,
                          shape_.rank_stride, shape_.up_rank, work_.crossed + shape_.qkv_stride,
                          stride);
    std::swap(kept.attended, work_.scaled_attended);
  }
  for (int t = 0; t < shape_.rows; ++t) work_.later_factors[t] += work_.input_factors[t];
  const auto place = static_cast<size_t>(plan_.modules) * static_cast<size_t>(plan_.strips) + 1;
  turn.take(place + static_cast<size_t>(module), [&] {
    kernels_.add_block(work_.crossed, 0, 1,
                       static_cast<int>(plan_.layout.sums(0, module + 1) - first),
                       turn.overwrites(), crossed.sums + first, 0);
  });
}

// What d_O of the module has beside R A^T.
void ImagePass::add_crossed_attended(const CrossedNetwork& crossed, int module) {
  terms_.clear();
  const auto add = [&](const float* rows, int stride, int depth, long weights) {
    terms_.push_back({rows, stride, depth, crossed.weights + weights});
  };
  for (int l = module + 1; l < plan_.crossed_modules; ++l) {
    const Workspace::Module& later = work_.modules[static_cast<size_t>(l)];
    add(later.qkv, shape_.qkv_stride, 3 * shape_.rank, plan_.layout.qkv_weights(module, l));
    if (l == plan_.crossed_modules - 1) continue;
    add(later.attended, shape_.rank_stride, shape_.up_rank, plan_.layout.up_weights(module, l));
  }
  kernels_.add_crossed(shape_, terms_.data(), static_cast<int>(terms_.size()), false,
                       work_.d_attended);
  terms_.clear();
  for (int k = 0; k <= module; ++k) {
    add(work_.modules[static_cast<size_t>(k)].attended, shape_.rank_stride, shape_.up_rank,
        plan_.layout.up_weights(module, k));
  }
  float* product = work_.scaled_attended;  // free between two modules
  kernels_.add_crossed(shape_, terms_.data(), static_cast<int>(terms_.size()), true, product);
  kernels_.scale_rows(shape_, product, work_.later_factors, false, work_.d_attended);
}

void ImagePass::add_strip(std::span<const ModuleGradients> gradients, int module, int strip,
                          const Turn& turn) {
  const auto index = static_cast<size_t>(module);
  const int d = strip * kStrip;
  const int dims = plan_.strip_dims(strip);
  const int columns = 3 * shape_.rank;
  const bool overwrite = turn.overwrites();
  const ModuleGradients& of_module = gradients[index];
  turn.take(index * static_cast<size_t>(plan_.strips) + static_cast<size_t>(strip), [&] {
    kernels_.add_block(work_.d_qkv_weight, shape_.qkv_stride, dims, columns, overwrite,
                       of_module.qkv_weight + static_cast<long>(d) * columns, columns);
    if (strip == 0) {
      kernels_.add_block(work_.d_shift, 0, 1, columns, overwrite, of_module.shift, 0);
    }
    if (module == 0) return;
    const ModuleGradients& previous = gradients[index - 1];
    kernels_.add_block(work_.d_up, kStrip, shape_.rank, dims, overwrite, previous.up_weight + d,
                       shape_.dim);
    if (previous.up_bias != nullptr) {
      kernels_.add_block(work_.d_up_bias, 0, 1, dims, overwrite, previous.up_bias + d, 0);
    }
  });
}

}  // namespace last::fused
