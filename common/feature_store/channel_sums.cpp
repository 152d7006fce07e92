#include "common/feature_store/channel_sums.h"

#include <vector>

namespace last {

// Each is channel_sums_kernel.cpp, compiled for it.
namespace generic {
void sum_channels(const void*, int64_t, int64_t, c10::ScalarType, const ChannelSums&);
}
#if defined(__x86_64__)
namespace avx2 {
void sum_channels(const void*, int64_t, int64_t, c10::ScalarType, const ChannelSums&);
}
namespace avx512 {
void sum_channels(const void*, int64_t, int64_t, c10::ScalarType, const ChannelSums&);
}
#endif

namespace {

std::vector<ChannelSumsFunction> available_functions() {
  std::vector<ChannelSumsFunction> functions;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) functions.push_back(avx512::sum_channels);
  if (__builtin_cpu_supports("avx2")) functions.push_back(avx2::sum_channels);
#endif
  functions.push_back(generic::sum_channels);
  return functions;
}

}  // namespace

std::span<const ChannelSumsFunction> channel_sums_functions() {
  static const std::vector<ChannelSumsFunction> functions = available_functions();
  return functions;
}

}  // namespace last
