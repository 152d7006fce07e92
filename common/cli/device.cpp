#include "common/cli/device.h"

#include <dlfcn.h>
#include <filesystem>
#include <sched.h>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>

#include "common/cli/parse.h"
#include "common/error.h"

namespace last {
namespace {

// Registers the CUDA backend. The reason why not, or nothing.
std::string load_cuda_backend() {
  // Its libraries take seconds to load: don't where there is no driver.
  if (!std::filesystem::exists("/dev/nvidiactl") && !std::filesystem::exists("/dev/dxg")) {
    return "this machine has no NVIDIA driver";
  }
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return concat("libtorch's CUDA library can't be loaded (", dlerror(),
                  "); scripts/setup.sh --full installs it");
  }
  if (!at::globalContext().hasCUDA() || at::detail::getCUDAHooks().deviceCount() < 1) {
    return "libtorch sees no CUDA device";
  }
  return "";
}

}  // namespace

c10::Device resolve_device(const std::string& name) {
  if (name == "cpu") return {c10::kCPU};
  const bool automatic = name == "auto";
  if (!automatic && name != "cuda" && name.rfind("cuda:", 0) != 0) {
    fail_usage("--device: \"", name, "\" is not one of auto, cpu, cuda, cuda:N");
  }
  const int64_t index = automatic || name == "cuda" ? 0 : parse_integer("--device", name.substr(5));
  if (index < 0) fail_usage("--device: \"", name, "\" has a negative number");
  const std::string problem = load_cuda_backend();
  if (!problem.empty()) {
    if (automatic) return {c10::kCPU};
    fail("--device ", name, ": ", problem, " (use --device cpu)");
  }
  const auto count = at::detail::getCUDAHooks().deviceCount();
  if (index >= count) fail("--device ", name, ": there are only ", count, " CUDA devices, from 0");
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

int configure_threads(int64_t requested) {
  if (requested < 0 || requested > 4096) {
    fail_usage("--threads: ", requested, " is not between 0 (all) and 4096");
  }
  const int threads = requested > 0 ? static_cast<int>(requested) : available_processors();
  at::set_num_threads(threads);
  return threads;
}

int64_t free_device_memory(const c10::Device& device) {
  try {
    return static_cast<int64_t>(
        at::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
  } catch (const c10::Error& error) {
    fail("the free memory of ", device.str(), " can't be told (", error.what_without_backtrace(),
         "); say how much may be used with --memory");
  }
}

std::string describe_device(const c10::Device& device, int threads) {
  if (device.is_cuda()) return "CUDA device " + std::to_string(device.index());
  return concat(threads, threads == 1 ? " CPU thread (" : " CPU threads (",
                at::get_cpu_capability(), ")");
}

}  // namespace last
