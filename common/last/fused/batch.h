#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/last/engine.h"
#include "common/last/fused/bank_view.h"
#include "common/last/fused/head.h"
#include "common/last/fused/image_pass.h"
#include "common/last/fused/tickets.h"

namespace last::fused {

// The features of one batch.
struct Features {
  // Error if shape or type don't fit.
  Features(const at::Tensor& features, const BankConfig& config);

  const void* image(int64_t b) const;

  int64_t batch;
  FeatureType type;

 private:
  const char* data_;
  int64_t image_bytes_;
};

// An image and some networks: what one thread takes at a time.
struct Item {
  int64_t image;
  size_t first, last;  // positions in the list of active networks
};

// All images x networks in the order of the batch. When images alone don't keep all threads busy,
// the networks of an image are shared out as well.
class Items {
 public:
  Items(int64_t batch, size_t networks, int threads);

  // The next one, or false.
  bool next(Item& item);

 private:
  size_t networks_, groups_, count_;
  std::atomic<size_t> next_ = 0;
};

// What a training step keeps for the end of the batch: inputs of the heads' Linears and gradients
// of the logits, from which the gradients of the heads are computed at once.
class HeadRows {
 public:
  HeadRows(const Plan& plan, int64_t networks, int64_t batch, int64_t classes);

  float* normed(int64_t k, int64_t b) { return &normed_[row(k, b) * normed_stride_]; }
  float* d_logits(int64_t k, int64_t b) { return &d_logits_[row(k, b) * logits_stride_]; }

  // d_weight and d_bias of classes first .. last-1 of network k; `first` a multiple of 16.
  void gradients(const Kernels& kernels, const Shape& shape, int64_t k, int first, int last,
                 float* d_weight, float* d_bias);

 private:
  size_t row(int64_t k, int64_t b) const { return static_cast<size_t>(k * batch_ + b); }

  int64_t batch_;
  size_t normed_stride_, logits_stride_;
  std::vector<float> normed_;    // [K, B, padded_dim]
  std::vector<float> d_logits_;  // [K, B, C rounded up to 16]; zero for unlabelled rows
};

}  // namespace last::fused
