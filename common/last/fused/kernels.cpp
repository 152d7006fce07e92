#include "common/last/fused/kernels.h"

#include <cstring>

namespace last::fused {

namespace generic {
extern const Kernels kTable;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kTable;
}
namespace avx512 {
extern const Kernels kTable;
}
#endif

namespace {

bool runs(const Kernels& table) {
#if defined(__x86_64__)
  if (&table == &avx2::kTable) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
  if (&table == &avx512::kTable) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return &table == &generic::kTable;
}

const Kernels* const kTables[] = {
#if defined(__x86_64__)
    &avx512::kTable,
    &avx2::kTable,
#endif
    &generic::kTable,
};

}  // namespace

const Kernels* find_kernels(const char* name) {
  for (const Kernels* table : kTables) {
    if (std::strcmp(table->name, name) == 0) return runs(*table) ? table : nullptr;
  }
  return nullptr;
}

const Kernels& kernels() {
  for (const Kernels* table : kTables) {
    if (runs(*table)) return *table;
  }
  return generic::kTable;
}

long attention_scratch(const Shape& shape) {
  const long lanes = shape.lanes;
  const long forward = 2L * shape.rank_stride * lanes + 2L * 16 * (shape.tokens + 16);
  const long backward = 4L * (shape.rank_stride + 16) * lanes + 2 * lanes + 2L * 16 * lanes;
  return forward > backward ? forward : backward;
}

}  // namespace last::fused
