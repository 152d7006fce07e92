#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/last/engine.h"
#include "common/last/fused/crossed.h"

namespace last {

// The bank for processors: one image and one network at a time, all modules forward, then all
// backward, on a tile of n x D floats that stays in the cache. Of a module only Q, K, V, O and
// LayerNorm's statistics are kept; the sums P_i of backbone maps are made once per image. Going
// back, the sum D of attention branches is rebuilt or, in the crossed form, not needed (crossed.h).
// No activation of the batch is stored.
//
// Results depend neither on the number of threads nor on the other networks of the bank, to the
// last bit: every network adds up its gradients image after image, in the order of the batch,
// whichever thread computed them.
//   threads  at least 1
std::unique_ptr<Engine> make_fused_engine(BankConfig config, int threads);

// The same with the kernels of one instruction set: "avx512", "avx2" or "generic", in fp32; or
// "amx_bf16", whose products round their factors to bf16 (sums, statistics, softmax and the streams
// of n x D stay in fp32); its logits() are computed in fp32. Error if the processor lacks it.
std::unique_ptr<Engine> make_fused_engine(BankConfig config, int threads,
                                          const std::string& instruction_set,
                                          fused::BackwardForm form = fused::BackwardForm::kBest);

// Working memory of one thread in bytes, beyond parameters, gradients and the batch. With bf16
// products the form is the plain one.
int64_t fused_bytes_per_thread(const NetworkConfig& network, const BackboneInfo& backbone,
                               fused::BackwardForm form = fused::BackwardForm::kBest);

// The same for an engine and batches of `images`: the threads', per image and network one pooled
// row and the gradient of the logits, and per network the crossed form's small matrices.
int64_t fused_bytes(const BankConfig& config, int64_t images, int threads,
                    fused::BackwardForm form = fused::BackwardForm::kBest);

// The best instruction set of this processor, for products in fp32: "avx512", "avx2", "generic";
// and in bf16: "amx_bf16", or as for fp32 if the processor has no unit that makes bf16 faster.
std::string fused_instruction_set();
std::string fused_bf16_instruction_set();

}  // namespace last
