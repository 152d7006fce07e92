#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace last::fused {

// While it lives, this thread takes subnormal numbers for zero, in operands and results: tiny
// gradients would make arithmetic a hundred times slower and change nothing.
class FlushSubnormals {
 public:
#if defined(__SSE__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlush); }
  ~FlushSubnormals() { _mm_setcsr(before_); }
#else
  FlushSubnormals() = default;
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

#if defined(__SSE__)
 private:
  static constexpr unsigned kFlush = 0x8040;  // flush to zero, denormals are zero
  unsigned before_;
#endif
};

}  // namespace last::fused
