// A training step (forward and backward) of a bank beside plain torch. Counters, per image and
// network: core_ms of the fused engine, plain_ms of the faster of two plain forms, and their ratio.
//   bench_bank [--benchmark_filter=ViT-B]

#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include "common/last/fused/engine.h"
#include "tests/benchmarks/best_time.h"
#include "tests/benchmarks/plain_network.h"

namespace last {
namespace {

constexpr int64_t kBatch = 32;

int threads() {
  static const int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
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

// Seconds of a step in plain torch; measured once per shape.
double plain_seconds(int64_t dim, int64_t rank, int64_t heads) {
  static std::map<std::string, double> known;
  const std::string key =
      std::to_string(dim) + "/" + std::to_string(rank) + "/" + std::to_string(heads);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  at::set_num_threads(threads());
  const RandomBank bank = make_bank(dim, rank, heads, 1);
  double best = 1e300;
  for (const auto attention : {PlainAttention::kSoftmax, PlainAttention::kFused}) {
    best = std::min(best, best_seconds(3, [&] { plain_step(bank, attention); }));
  }
  return known[key] = best;
}

// Arguments: D, heads, networks, bf16 products
void step(benchmark::State& state) {
  constexpr int64_t kRank = 16;
  const int64_t dim = state.range(0), heads = state.range(1), networks = state.range(2);
  const double plain = plain_seconds(dim, kRank, heads);
  const RandomBank bank = make_bank(dim, kRank, heads, networks);
  const auto engine = make_fused_engine(
      bank.config, threads(),
      state.range(3) == 0 ? fused_instruction_set() : fused_bf16_instruction_set());
  Parameters gradients = bank.parameters.zeros_like();
  double best = 1e300;
  for (auto _ : state) {
    const double start = seconds_now();
    engine->forward_backward(bank.features, bank.labels, bank.active, bank.parameters, gradients);
    best = std::min(best, seconds_now() - start);
  }
  const double to_core_ms = 1e3 * threads() / kBatch;
  state.counters["core_ms"] = best / static_cast<double>(networks) * to_core_ms;
  state.counters["plain_ms"] = plain * to_core_ms;
  state.counters["ratio"] = plain * static_cast<double>(networks) / best;
}

void add(const char* name, int64_t dim) {
  for (const int64_t heads : {1, 2, 4}) {
    for (const int64_t networks : {1, 16}) {
      benchmark::RegisterBenchmark(name, step)
          ->ArgsProduct({{dim}, {heads}, {networks}, {0, 1}})
          ->ArgNames({"D", "h", "K", "bf16"})
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
}

}  // namespace
}  // namespace last

int main(int argc, char** argv) {
  last::add("ViT-B", 768);
  last::add("ViT-Ti", 192);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
