// A training step (forward and backward) of a bank beside plain torch. Counters, per image and
// network: core_ms of the fused engine, plain_ms of the faster of two plain forms over the whole
// batch, and their ratio; tiled_ms, the same form on tiles of two images per thread. bf16 products
// are measured where the processor has a unit for them.
//   bench_bank [--benchmark_filter=ViT-B]

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "common/cli/device.h"
#include "common/last/fused/engine.h"
#include "tests/benchmarks/best_time.h"
#include "tests/benchmarks/plain_network.h"

namespace last {
namespace {

constexpr int64_t kBatch = 32;

int threads() {
  static const int count = available_processors();
  return count;
}

RandomBank make_bank(int64_t dim, int64_t rank, int64_t heads, int64_t networks) {
  BankShape shape;
  shape.depth = 12;
  shape.dim = dim;
  shape.tokens = 197;
  shape.network.rank = rank;
  shape.network.heads = heads;
  shape.classes.assign(static_cast<size_t>(networks), 100);
  shape.batch = kBatch;
  return make_random_bank(shape, 1);
}

// Seconds of a step in plain torch: the faster of its attentions.
struct PlainTime {
  double whole_batch = 1e300, tiled = 1e300;
};

// Measured once per shape.
PlainTime plain_time(int64_t dim, int64_t rank, int64_t heads) {
  static std::map<std::string, PlainTime> known;
  const std::string key =
      std::to_string(dim) + "/" + std::to_string(rank) + "/" + std::to_string(heads);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  at::set_num_threads(threads());
  const RandomBank bank = make_bank(dim, rank, heads, 1);
  PlainTime best;
  for (const auto attention : {PlainAttention::kSoftmax, PlainAttention::kFused}) {
    best.whole_batch =
        std::min(best.whole_batch, best_seconds(3, [&] { plain_step(bank, attention); }));
    best.tiled = std::min(best.tiled,
                          best_seconds(3, [&] { plain_tiled_step(bank, attention, threads()); }));
  }
  return known[key] = best;
}

// Arguments: D, rank, heads, networks, bf16 products
void step(benchmark::State& state) {
  const int64_t dim = state.range(0), rank = state.range(1), heads = state.range(2);
  const int64_t networks = state.range(3);
  const PlainTime plain = plain_time(dim, rank, heads);
  const RandomBank bank = make_bank(dim, rank, heads, networks);
  const auto engine = make_fused_engine(
      bank.config, threads(),
      state.range(4) == 0 ? fused_instruction_set() : fused_bf16_instruction_set());
  Parameters gradients = bank.parameters.zeros_like();
  double best = 1e300;
  for (auto _ : state) {
    const double start = seconds_now();
    engine->forward_backward(bank.features, bank.labels, bank.active, bank.parameters, gradients);
    best = std::min(best, seconds_now() - start);
  }
  const double to_core_ms = 1e3 * threads() / kBatch;
  state.counters["core_ms"] = best / static_cast<double>(networks) * to_core_ms;
  state.counters["plain_ms"] = plain.whole_batch * to_core_ms;
  state.counters["tiled_ms"] = plain.tiled * to_core_ms;
  state.counters["ratio"] = plain.whole_batch * static_cast<double>(networks) / best;
}

void add(const char* name, int64_t dim, int64_t rank) {
  std::vector<int64_t> precisions = {0};
  if (fused_bf16_instruction_set() != fused_instruction_set()) precisions.push_back(1);
  for (const int64_t heads : {1, 2, 4}) {
    for (const int64_t networks : {1, 16}) {
      benchmark::RegisterBenchmark(name, step)
          ->ArgsProduct({{dim}, {rank}, {heads}, {networks}, precisions})
          ->ArgNames({"D", "r", "h", "K", "bf16"})
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace last

int main(int argc, char** argv) {
  last::add("ViT-B", 768, 16);
  last::add("ViT-Ti", 192, 16);
  last::add("ViT-Ti", 192, 4);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
