#pragma once

#include <cstdint>
#include <string>

#include <c10/core/Device.h>

namespace last {

// "auto" | "cpu" | "cuda" | "cuda:N". auto: a GPU where one can be used, else the CPU. cuda without
// a usable GPU is an Error, never a silent fallback. Loads libtorch's CUDA library only when asked.
// torch looks for that library once: ask before it is used for more than making CPU tensors.
c10::Device resolve_device(const std::string& name);

// Threads for computing: `requested`, or with 0 the processors this process may use. Sets torch's
// number of threads.
int configure_threads(int64_t requested);

// Processors this process may use (affinity, as taskset and Slurm set it).
int available_processors();

// Bytes that are free on a GPU.
int64_t free_device_memory(const c10::Device& device);

// "2 CPU threads (AVX512)" or the GPU's number, for messages.
std::string describe_device(const c10::Device& device, int threads);

}  // namespace last
