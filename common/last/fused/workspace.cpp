#include "common/last/fused/workspace.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "common/last/fused/kernels.h"

namespace last::fused {

Workspace::Workspace(const Plan& plan) {
  constexpr size_t kAlignment = 4096;
  const auto size = static_cast<size_t>(bytes(plan));
  const size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  memory_.reset(memory, std::free);
  std::memset(memory, 0, rounded);
  lay_out(plan, static_cast<char*>(memory));
}

int64_t Workspace::bytes(const Plan& plan) { return Workspace().lay_out(plan, nullptr); }

int64_t Workspace::lay_out(const Plan& plan, char* memory) {
  int64_t offset = 0;
  const auto array = [&](long floats) {
    float* p = memory == nullptr ? nullptr : reinterpret_cast<float*>(memory + offset);
    offset += (floats * 4 + 63) / 64 * 64;
    return p;
  };
  const Shape& s = plan.shape;
  constexpr long kSlack = 64;  // floats that kernels may read behind [Q | K | V]
  const long qkv_size = static_cast<long>(s.lanes) * s.qkv_stride + kSlack;
  const long attended_size = static_cast<long>(s.lanes) * s.rank_stride + kSlack;
  prefix.resize(static_cast<size_t>(plan.blocks));
  prefix_means.resize(static_cast<size_t>(plan.blocks));
  modules.resize(static_cast<size_t>(plan.modules));
  for (auto& p : prefix) p = array(plan.tile());
  for (auto& p : prefix_means) p = array(s.lanes);
  for (auto& m : modules) {
    m = {array(qkv_size), array(attended_size), array(static_cast<long>(s.heads) * s.lanes),
         array(s.lanes), array(s.lanes)};
  }
  const bool side_network = plan.modules > 0;
  branch = array(side_network ? plan.tile() : 0);
  stream_gradient = array(side_network ? plan.tile() : 0);
  branch_means = array(s.lanes);
  squares = array(s.lanes * 16L);
  d_attended = array(attended_size);
  d_qkv = array(qkv_size);
  input_factors = array(s.lanes);
  later_factors = array(s.lanes);
  scaled_attended = array(plan.crossed_modules > 0 ? attended_size : 0);
  crossed = array(plan.layout.most_sums());
  attention = array(side_network ? attention_scratch(s) : 0);
  backward = array(side_network ? backward_scratch(s) / 4 : 0);
  d_qkv_weight = array(static_cast<long>(kStrip) * s.qkv_stride);
  d_up = array(static_cast<long>(kMaxRankStride) * kStrip);
  d_up_bias = array(kStrip);
  d_shift = array(kMaxQkv);
  pooled_attended = array(kMaxRankStride);
  base = array(s.padded_dim);
  pooled = array(s.padded_dim);
  pooled_gradient = array(s.padded_dim);
  return offset;
}

}  // namespace last::fused
