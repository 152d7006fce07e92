#include "common/last/fused/kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
namespace amx_bf16 {
extern const Kernels kTable;
}
#endif

namespace {

#if defined(__x86_64__)
// Whether there is a tile unit for bf16, and Linux lets this process use it (it has to be asked:
// the unit's registers enlarge what is saved at every change of threads).
bool has_tile_unit() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  if ((edx & kAmxBf16) == 0 || (edx & kAmxTile) == 0) return false;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) == 0) return false;
  constexpr unsigned kAvx512Bf16 = 1u << 5;
  if ((eax & kAvx512Bf16) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

bool runs(const Kernels& table) {
#if defined(__x86_64__)
  if (&table == &avx2::kTable) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
  if (&table == &amx_bf16::kTable) return runs(avx512::kTable) && has_tile_unit();
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
  if (std::strcmp(name, "amx_bf16") == 0) return bf16_kernels();
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

const Kernels* bf16_kernels() {
#if defined(__x86_64__)
  if (runs(amx_bf16::kTable)) return &amx_bf16::kTable;
#endif
  return nullptr;
}

long backward_scratch(const Shape& shape) {
  const long tokens = (shape.rows + 63) / 64 * 64;
  // E, O, E^T, O^T in bf16, with up to 16 columns of padding in two of them; one more in fp32.
  return tokens * (4L * shape.qkv_stride + 4L * shape.rank_stride + 64 + 4L * shape.qkv_stride);
}

long attention_scratch(const Shape& shape) {
  const long lanes = shape.lanes;
  const long forward = 2L * shape.rank_stride * lanes + 2L * 16 * (shape.tokens + 16);
  const long backward = 4L * (shape.rank_stride + 16) * lanes + 2 * lanes + 2L * 24 * lanes;
  // With bf16 products: one head's matrices, a block of scores, and the rounding of each.
  const long tokens = (shape.tokens + 31) / 32 * 32, channels = (shape.head_dim + 31) / 32 * 32;
  const long bf16_forward = tokens * (4 * channels + 48);
  const long bf16_backward = tokens * (7 * channels + 1);
  return std::max({forward, backward, bf16_forward, bf16_backward}) + 16 * 16;
}

}  // namespace last::fused
