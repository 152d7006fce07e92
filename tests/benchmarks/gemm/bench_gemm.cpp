// Time per network and step (forward and backward) of the GEMM engine, beside the direct form.
//   bench_gemm [--device cpu|cuda] [--precision fp32|tf32|bf16|fp16] [--backbone vit-ti|vit-b]
//              [--networks 1,16,64,256] [--heads 1] [--rank 16] [--batch 32] [--max-gib 16]
//              [--attention products|fused] [--attention-mib 256] [--direct-networks 4] [--steps 5]

#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

#include "common/cli/device.h"
#include "common/error.h"
#include "common/last/gemm/engine.h"
#include "common/last/gemm/plan.h"
#include "common/last/gemm/products.h"
#include "tests/benchmarks/gemm/direct_form.h"

namespace last {
namespace {

using Options = std::map<std::string, std::string>;

constexpr int64_t kClasses = 100;

Options parse_options(int argc, char** argv) {
  Options options = {{"device", "cpu"},
                     {"precision", "fp32"},
                     {"backbone", "vit-ti"},
                     {"networks", "1,16,64,256"},
                     {"heads", "1"},
                     {"rank", "16"},
                     {"batch", "32"},
                     {"max-gib", "16"},
                     {"attention", "products"},
                     {"attention-mib", "256"},
                     {"direct-networks", "4"},
                     {"steps", "5"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto option = options.find(name.substr(name.find_first_not_of('-')));
    if (option == options.end()) fail_usage("bench_gemm: no option ", name);
    option->second = argv[i + 1];
  }
  return options;
}

ProductPrecision parse_precision(const std::string& name) {
  if (name == "fp32") return ProductPrecision::kFp32;
  if (name == "tf32") return ProductPrecision::kTf32;
  if (name == "bf16") return ProductPrecision::kBf16;
  if (name == "fp16") return ProductPrecision::kFp16;
  fail_usage("--precision: \"", name, "\" is not one of fp32, tf32, bf16, fp16");
}

BankConfig make_bank(const Options& options, int64_t networks) {
  BankConfig bank;
  auto& backbone = bank.backbone;
  backbone.depth = 12;
  backbone.dim = options.at("backbone") == "vit-b" ? 768 : 192;
  backbone.tokens = 197;
  backbone.prefix_tokens = 1;
  backbone.has_cls_token = true;
  backbone.grid_height = backbone.grid_width = 14;
  for (int64_t i = 0; i <= backbone.depth; ++i) backbone.layers.push_back(i);
  backbone.norm_weight = at::ones({backbone.dim}, at::kFloat);
  backbone.norm_bias = at::zeros({backbone.dim}, at::kFloat);
  bank.network.rank = std::stoll(options.at("rank"));
  bank.network.heads = std::stoll(options.at("heads"));
  bank.classes.assign(static_cast<size_t>(networks), kClasses);
  bank.label_smoothing.assign(static_cast<size_t>(networks), 0.0);
  return bank;
}

struct Batch {
  at::Tensor features;
  at::Tensor labels;  // int64 [K, B]
  Parameters parameters;
};

Batch make_batch(const BankConfig& bank, int64_t images, c10::Device device) {
  const auto& backbone = bank.backbone;
  const auto options = at::TensorOptions(device).dtype(at::kFloat);
  Batch batch;
  batch.features = at::randn({images, static_cast<int64_t>(backbone.layers.size()), backbone.tokens,
                              backbone.dim},
                             options)
                       .to(at::kHalf);
  batch.labels = at::randint(kClasses, {bank.networks(), images}, options.dtype(at::kLong));
  auto p = make_parameters(bank.networks(), bank.network, backbone, kClasses);
  for (int64_t k = 0; k < bank.networks(); ++k) {
    initialize_network(p, k, bank.network, backbone, kClasses, static_cast<uint64_t>(k));
  }
  p.up_weight.normal_(0, 0.02);
  batch.parameters = p.to(device);
  return batch;
}

// Milliseconds per call; every call ends by waiting for its results.
double milliseconds(int64_t steps, const std::function<void()>& step) {
  step();
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < steps; ++i) step();
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  return time.count() / static_cast<double>(steps);
}

double time_direct(const Options& options, c10::Device device, int64_t networks, int64_t steps) {
  const auto bank = make_bank(options, networks);
  const auto batch = make_batch(bank, std::stoll(options.at("batch")), device);
  const gemm::ProductSwitches products(options.at("precision") != "fp32");
  const at::AutoGradMode with_gradients(true);
  for (const auto& [name, tensor] : batch.parameters.named()) tensor.set_requires_grad(true);
  return milliseconds(steps,
                      [&] { direct_step(bank, batch.features, batch.labels, batch.parameters); });
}

void run(const Options& options) {
  const c10::Device device = resolve_device(options.at("device"));
  const int threads = configure_threads(0);
  const int64_t steps = std::stoll(options.at("steps"));
  const int64_t images = std::stoll(options.at("batch"));
  GemmOptions gemm_options;
  gemm_options.products = parse_precision(options.at("precision"));
  if (options.at("attention") == "fused") gemm_options.attention = AttentionKernel::kFused;
  gemm_options.max_bytes = static_cast<int64_t>(std::stod(options.at("max-gib")) * (1 << 30));
  gemm_options.attention_max_bytes = std::stoll(options.at("attention-mib")) << 20;
  std::printf("%s, batch %ld, r %s, h %s, %s products, %s\n", options.at("backbone").c_str(),
              static_cast<long>(images), options.at("rank").c_str(), options.at("heads").c_str(),
              options.at("precision").c_str(), describe_device(device, threads).c_str());
  std::printf("%8s %22s %22s %7s %10s %14s\n", "networks", "gemm ms/network/step",
              "direct ms/network/step", "ratio", "plan MiB", "chunk (K x B)");

  std::stringstream list(options.at("networks"));
  for (std::string item; std::getline(list, item, ',');) {
    const int64_t networks = std::stoll(item);
    const auto bank = make_bank(options, networks);
    const auto batch = make_batch(bank, images, device);
    const auto labels = batch.labels.to(at::kInt);
    auto gradients = batch.parameters.zeros_like();
    const std::vector<uint8_t> active(static_cast<size_t>(networks), 1);
    const auto engine = make_gemm_engine(bank, device, gemm_options);
    const double gemm = milliseconds(steps, [&] {
      engine->forward_backward(batch.features, labels, active, batch.parameters, gradients);
    });
    // The direct form's time per network doesn't fall any more beyond a few networks; its memory
    // grows with them.
    const int64_t together = std::min<int64_t>(networks, std::stoll(options.at("direct-networks")));
    const double direct = time_direct(options, device, together, steps);
    const auto plan = plan_gemm(bank, images, gemm_options);
    const double per_network = gemm / static_cast<double>(networks);
    const double direct_per_network = direct / static_cast<double>(together);
    std::printf("%8ld %22.3f %22.3f %7.2f %10.0f %8ld x %3ld\n", static_cast<long>(networks),
                per_network, direct_per_network, direct_per_network / per_network,
                static_cast<double>(plan.bytes) / (1 << 20), static_cast<long>(plan.networks),
                static_cast<long>(plan.images));
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace last

int main(int argc, char** argv) {
  try {
    last::run(last::parse_options(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gemm: error: %s\n", error.what());
    return 1;
  }
}
