#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <c10/core/Device.h>

namespace last::gemm {

inline constexpr int64_t kMostBlocks = 65535;  // of a kernel in its second direction

// CUDA kernels that are compiled from `source` for the device's processor when they are first
// asked for, with the compiler that comes with libtorch; so neither a CUDA toolkit nor a GPU is
// needed to build the programs. They run on torch's default stream, after what it has queued.
class CudaKernels {
 public:
  // definitions: "NAME=VALUE". Error: why it can't be compiled or loaded.
  CudaKernels(const std::string& source, const std::vector<std::string>& definitions,
              const c10::Device& device);

  // blocks_x * blocks_y blocks of `threads` threads; `arguments` is the kernel's only parameter,
  // passed by value. Error: what CUDA says, or that torch's current stream is another one.
  void launch(const char* kernel, int64_t blocks_x, int64_t blocks_y, int threads,
              const void* arguments) const;

 private:
  c10::Device device_;
  void* context_ = nullptr;  // CUcontext
  void* module_ = nullptr;   // CUmodule; kept until the process ends
};

}  // namespace last::gemm
