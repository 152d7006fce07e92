#include "common/last/gemm/network_chunk.h"

#include <algorithm>
#include <array>
#include <utility>

#include <ATen/ops/empty.h>

namespace last::gemm {
namespace {

constexpr std::array kFields = {&Parameters::norm_weight,       &Parameters::norm_bias,
                                &Parameters::qkv_weight,        &Parameters::qkv_bias,
                                &Parameters::up_weight,         &Parameters::up_bias,
                                &Parameters::final_norm_weight, &Parameters::final_norm_bias,
                                &Parameters::head_weight,       &Parameters::head_bias};

}  // namespace

NetworkChunk::NetworkChunk(std::vector<int64_t> networks, c10::Device device)
    : networks_(std::move(networks)) {
  if (networks_.back() - networks_.front() + 1 == size()) return;
  auto index = at::empty({size()}, at::kLong);
  std::copy(networks_.begin(), networks_.end(), index.data_ptr<int64_t>());
  index_ = index.to(device);
}

at::Tensor NetworkChunk::take(const at::Tensor& stacked) const {
  return index_.defined() ? stacked.index_select(0, index_)
                          : stacked.narrow(0, networks_.front(), size());
}

Parameters NetworkChunk::take(const Parameters& stacked) const {
  Parameters result;
  for (const auto field : kFields) {
    if ((stacked.*field).defined()) result.*field = take(stacked.*field);
  }
  return result;
}

void NetworkChunk::put(at::Tensor& stacked, const at::Tensor& rows, bool add) const {
  if (index_.defined()) {
    add ? stacked.index_add_(0, index_, rows) : stacked.index_copy_(0, index_, rows);
  } else {
    const auto target = take(stacked);
    add ? target.add_(rows) : target.copy_(rows);
  }
}

void NetworkChunk::put(Parameters& stacked, const Parameters& rows, bool add) const {
  for (const auto field : kFields) {
    if ((stacked.*field).defined()) put(stacked.*field, rows.*field, add);
  }
}

std::vector<NetworkChunk> make_chunks(const std::vector<uint8_t>& active, int64_t size,
                                      c10::Device device) {
  std::vector<NetworkChunk> chunks;
  std::vector<int64_t> networks;
  const auto flush = [&] {
    if (!networks.empty()) chunks.emplace_back(std::exchange(networks, {}), device);
  };
  for (size_t k = 0; k < active.size(); ++k) {
    if (active[k] == 0) continue;
    networks.push_back(static_cast<int64_t>(k));
    if (static_cast<int64_t>(networks.size()) == size) flush();
  }
  flush();
  return chunks;
}

}  // namespace last::gemm
