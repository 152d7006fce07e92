#pragma once

namespace last::gemm {

// The text of column_kernels.h.
extern const char* const kColumnKernelsSource;

}  // namespace last::gemm
