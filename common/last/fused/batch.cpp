#include "common/last/fused/batch.h"

#include <algorithm>

#include "common/error.h"

namespace last::fused {

Features::Features(const at::Tensor& features, const BankConfig& config) {
  const auto& backbone = config.backbone;
  const auto layers = static_cast<int64_t>(backbone.layers.size());
  if (features.dim() != 4 || features.size(1) != layers || features.size(2) != backbone.tokens ||
      features.size(3) != backbone.dim || !features.is_contiguous() || !features.is_cpu()) {
    fail("fused engine: expected contiguous features [B, ", layers, ", ", backbone.tokens, ", ",
         backbone.dim, "] in main memory, found ", features.toString(), " of shape ",
         features.sizes());
  }
  switch (features.scalar_type()) {
    case at::kHalf:
      type = FeatureType::kHalf;
      break;
    case at::kBFloat16:
      type = FeatureType::kBfloat16;
      break;
    case at::kFloat:
      type = FeatureType::kFloat;
      break;
    default:
      fail("fused engine: expected features in fp16, bf16 or fp32, found ", features.toString());
  }
  batch = features.size(0);
  data_ = static_cast<const char*>(features.const_data_ptr());
  image_bytes_ = features.size(1) * features.size(2) * features.size(3) *
                 static_cast<int64_t>(features.element_size());
}

const void* Features::image(int64_t b) const { return data_ + b * image_bytes_; }

Items::Items(int64_t batch, size_t networks, int threads) : networks_(networks) {
  const auto images = static_cast<size_t>(batch);
  const auto workers = static_cast<size_t>(threads);
  const bool even = images % workers == 0 || images >= 8 * workers;
  const size_t wanted = even || images == 0 ? 1 : (8 * workers + images - 1) / images;
  groups_ = std::max<size_t>(1, std::min(wanted, networks));
  count_ = networks == 0 ? 0 : images * groups_;
}

bool Items::next(Item& item) {
  const size_t i = next_.fetch_add(1);
  if (i >= count_) return false;
  const size_t group = i % groups_;
  item = {static_cast<int64_t>(i / groups_), networks_ * group / groups_,
          networks_ * (group + 1) / groups_};
  return true;
}

HeadRows::HeadRows(const Plan& plan, int64_t networks, int64_t batch, int64_t classes)
    : batch_(batch),
      normed_stride_(static_cast<size_t>(plan.shape.padded_dim)),
      logits_stride_(static_cast<size_t>((classes + 15) / 16 * 16)),
      normed_(static_cast<size_t>(networks * batch) * normed_stride_),
      d_logits_(static_cast<size_t>(networks * batch) * logits_stride_) {}

void HeadRows::gradients(const Kernels& kernels, const Shape& shape, int64_t k, int first, int last,
                         float* d_weight, float* d_bias) {
  const float* d_logits = this->d_logits(k, 0) + first;
  const auto stride = static_cast<int>(logits_stride_);
  kernels.head_weight_gradient(shape, d_logits, stride, normed(k, 0), static_cast<int>(batch_),
                               last - first, d_weight + static_cast<int64_t>(first) * shape.dim);
  for (int c = first; c < last; ++c) {
    float total = 0;
    for (int64_t b = 0; b < batch_; ++b) total += d_logits[b * stride + c - first];
    d_bias[c] = total;
  }
}

}  // namespace last::fused
