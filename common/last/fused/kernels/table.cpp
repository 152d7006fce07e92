#include "common/last/fused/kernels/make_table.h"

namespace last::fused::LAST_ISA_NAMESPACE {

extern const Kernels kTable;
constinit const Kernels kTable = make_table(attention_forward, attention_backward);

}  // namespace last::fused::LAST_ISA_NAMESPACE
