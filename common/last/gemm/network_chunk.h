#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/last/parameters.h"

namespace last::gemm {

// Some networks of a bank, in ascending order: cut out of stacked tensors [K, ...] and put back.
class NetworkChunk {
 public:
  NetworkChunk(std::vector<int64_t> networks, c10::Device device);

  int64_t size() const { return static_cast<int64_t>(networks_.size()); }

  // Rows of a stacked tensor: a view where the networks are neighbours, else a copy.
  at::Tensor take(const at::Tensor& stacked) const;
  Parameters take(const Parameters& stacked) const;
  // Overwrites (add = false) or adds to these networks' rows.
  void put(at::Tensor& stacked, const at::Tensor& rows, bool add) const;
  void put(Parameters& stacked, const Parameters& rows, bool add) const;

 private:
  std::vector<int64_t> networks_;
  at::Tensor index_;  // on the device; undefined where the networks are neighbours
};

// The networks that are active, `size` at a time.
std::vector<NetworkChunk> make_chunks(const std::vector<uint8_t>& active, int64_t size,
                                      c10::Device device);

}  // namespace last::gemm
