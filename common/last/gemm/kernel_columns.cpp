#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/error.h"
#include "common/last/config.h"
#include "common/last/gemm/column_kernels.h"
#include "common/last/gemm/column_kernels_source.h"
#include "common/last/gemm/columns.h"
#include "common/last/gemm/cuda_kernels.h"
#include "common/last/gemm/products.h"

namespace last::gemm {
namespace {

constexpr int kThreads = 128;  // of a block

const char* type_name(at::ScalarType type) { return type == at::kBFloat16 ? "Bf16" : "float"; }

template <class T>
T* data(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr;
}

template <class T>
columns::Rows<T> rows(const at::Tensor& view) {
  constexpr int64_t kSize = columns::Pack<T>::kSize;
  const bool packed = view.stride(1) == 1 && view.size(1) % kSize == 0 &&
                      view.stride(0) % kSize == 0 && view.stride(2) % kSize == 0 &&
                      view.stride(3) % kSize == 0 &&
                      reinterpret_cast<uintptr_t>(view.data_ptr()) % sizeof(columns::Pack<T>) == 0;
  return {data<T>(view),  view.stride(0), view.stride(2),
          view.stride(3), view.stride(1), packed ? 1 : 0};
}

columns::Sizes sizes(const Shape& shape, int64_t columns, int64_t module) {
  return {columns,
          static_cast<int>(shape.tokens),
          static_cast<int>(shape.rank),
          static_cast<int>(shape.up_rows),
          static_cast<int>(module * shape.up_rows),
          static_cast<int>(shape.modules() * shape.up_rows),
          static_cast<float>(shape.dim),
          static_cast<float>(kModuleNormEps)};
}

class KernelColumns final : public Columns {
 public:
  // kernels: nullptr on a CPU.
  KernelColumns(const ColumnsSpec& spec, std::shared_ptr<const CudaKernels> kernels)
      : shape_(spec.shape),
        products_(spec.products),
        attention_(spec.attention),
        networks_(spec.networks),
        columns_(spec.images * spec.shape.tokens),
        kernels_(std::move(kernels)) {}

  void project(int64_t i, at::Tensor& products, const at::Tensor& cross, const at::Tensor& branches,
               const at::Tensor& q, const at::Tensor& tau, const at::Tensor& constant,
               at::Tensor& alpha, const QkvRows& qkv) const override;
  void add_branch(int64_t i, const at::Tensor& attended, const at::Tensor& cross,
                  const at::Tensor& gram, at::Tensor& branches, at::Tensor& gram_sums,
                  at::Tensor& q) const override;
  void attended_gradient(int64_t i, const at::Tensor& d_branches, const at::Tensor& gram_sums,
                         const at::Tensor& d_q, at::Tensor& d_attended) const override;
  void project_backward(int64_t i, const QkvRows& d_qkv, const at::Tensor& products,
                        const at::Tensor& branches, const at::Tensor& alpha, const at::Tensor& tau,
                        at::Tensor& d_q, at::Tensor& d_inner, at::Tensor& d_products,
                        at::Tensor& d_cross) const override;
  void add_to_branches(int64_t i, const at::Tensor& products, const at::Tensor& through,
                       const at::Tensor& d_inner, at::Tensor& d_branches) const override;

 private:
  template <class Visitor>
  void with_types(const Visitor& visitor) const;
  template <class Arguments, class Column>
  void run(const char* kernel, const Arguments& arguments, const Column& column) const;

  Shape shape_;
  at::ScalarType products_, attention_;
  int64_t networks_, columns_;
  std::shared_ptr<const CudaKernels> kernels_;
};

template <class Visitor>
void KernelColumns::with_types(const Visitor& visitor) const {
  using columns::Bf16;
  if (products_ != at::kBFloat16) return visitor(float{}, float{});
  if (attention_ != at::kBFloat16) return visitor(Bf16{}, float{});
  visitor(Bf16{}, Bf16{});
}

template <class Arguments, class Column>
void KernelColumns::run(const char* kernel, const Arguments& arguments,
                        const Column& column) const {
  if (kernels_ != nullptr) {
    kernels_->launch(kernel, (columns_ + kThreads - 1) / kThreads, networks_, kThreads, &arguments);
    return;
  }
  for (int64_t k = 0; k < networks_; ++k) {
    for (int64_t l = 0; l < columns_; ++l) column(arguments, k, l);
  }
}

void KernelColumns::project(int64_t i, at::Tensor& products, const at::Tensor& cross,
                            const at::Tensor& branches, const at::Tensor& q, const at::Tensor& tau,
                            const at::Tensor& constant, at::Tensor& alpha,
                            const QkvRows& qkv) const {
  with_types([&](auto product, auto operand) {
    using T = decltype(product);
    using A = decltype(operand);
    const columns::Project<T, A> arguments{sizes(shape_, columns_, i),
                                           data<T>(products),
                                           data<T>(cross),
                                           data<T>(branches),
                                           data<float>(q),
                                           data<float>(tau),
                                           data<float>(constant),
                                           constant.stride(0),
                                           data<float>(alpha),
                                           {rows<A>(qkv[0]), rows<A>(qkv[1]), rows<A>(qkv[2])}};
    run("project_kernel", arguments, columns::project<T, A, 0>);
  });
}

void KernelColumns::add_branch(int64_t i, const at::Tensor& attended, const at::Tensor& cross,
                               const at::Tensor& gram, at::Tensor& branches, at::Tensor& gram_sums,
                               at::Tensor& q) const {
  with_types([&](auto product, auto operand) {
    using T = decltype(product);
    using A = decltype(operand);
    columns::AddBranch<T, A> arguments{
        sizes(shape_, columns_, i), rows<A>(attended),  nullptr,       0, data<float>(gram), 0, 0,
        data<T>(branches),          data<T>(gram_sums), data<float>(q)};
    if (cross.defined()) {
      const auto u = cross.narrow(1, shape_.qkv_rows(), shape_.up_rows);
      arguments.u = data<T>(u);
      arguments.u_network = u.stride(0);
    }
    if (gram.defined()) {
      arguments.gram_network = gram.stride(0);
      arguments.gram_row = gram.stride(1);
    }
    run("add_branch_kernel", arguments, columns::add_branch<T, A, 0>);
  });
}

void KernelColumns::attended_gradient(int64_t i, const at::Tensor& d_branches,
                                      const at::Tensor& gram_sums, const at::Tensor& d_q,
                                      at::Tensor& d_attended) const {
  with_types([&](auto product, auto operand) {
    using T = decltype(product);
    using A = decltype(operand);
    const columns::AttendedGradient<T, A> arguments{sizes(shape_, columns_, i),
                                                    data<float>(d_branches), data<T>(gram_sums),
                                                    data<float>(d_q), rows<A>(d_attended)};
    run("attended_gradient_kernel", arguments, columns::attended_gradient<T, A, 0>);
  });
}

void KernelColumns::project_backward(int64_t i, const QkvRows& d_qkv, const at::Tensor& products,
                                     const at::Tensor& branches, const at::Tensor& alpha,
                                     const at::Tensor& tau, at::Tensor& d_q, at::Tensor& d_inner,
                                     at::Tensor& d_products, at::Tensor& d_cross) const {
  with_types([&](auto product, auto operand) {
    using T = decltype(product);
    using A = decltype(operand);
    const columns::ProjectBackward<T, A> arguments{
        sizes(shape_, columns_, i), {rows<A>(d_qkv[0]), rows<A>(d_qkv[1]), rows<A>(d_qkv[2])},
        data<T>(products),          data<T>(branches),
        data<float>(alpha),         data<float>(tau),
        data<float>(d_q),           data<float>(d_inner),
        data<T>(d_products),        data<T>(d_cross)};
    run("project_backward_kernel", arguments, columns::project_backward<T, A, 0>);
  });
}

void KernelColumns::add_to_branches(int64_t i, const at::Tensor& products,
                                    const at::Tensor& through, const at::Tensor& d_inner,
                                    at::Tensor& d_branches) const {
  with_types([&](auto product, auto) {
    using T = decltype(product);
    const columns::AddToBranches<T> arguments{sizes(shape_, columns_, i), data<T>(products),
                                              data<T>(through), data<float>(d_inner),
                                              data<float>(d_branches)};
    run("add_to_branches_kernel", arguments, columns::add_to_branches<T, 0>);
  });
}

// Far above what rounding does to a tensor, far below what a mistake does.
double tolerance(at::ScalarType products) { return products == at::kBFloat16 ? 0.05 : 1e-3; }

// The kernels for spec's GPU, types and rank, checked against torch's operations; nullptr, after a
// warning, where they can't be used.
std::shared_ptr<const CudaKernels> compile(const ColumnsSpec& spec) {
  try {
    auto kernels = std::make_shared<const CudaKernels>(
        kColumnKernelsSource,
        std::vector<std::string>{concat("LAST_PRODUCT=", type_name(spec.products)),
                                 concat("LAST_ATTENTION=", type_name(spec.attention)),
                                 concat("LAST_RANK=", spec.shape.rank),
                                 concat("LAST_THREADS=", kThreads)},
        spec.device);
    ColumnsSpec small = spec;
    small.networks = 2;
    small.images = 3;
    small.shape.blocks = 3;
    small.shape.modules_per_block = 1;
    const ProductSwitches exact(false);
    const double difference =
        largest_difference(KernelColumns(small, kernels), *make_torch_columns(small), small);
    if (difference <= tolerance(spec.products)) return kernels;
    fail("they differ from torch's operations by ", difference);
  } catch (const std::exception& error) {
    if (spec.warn) {
      spec.warn(concat("the kernels for ", spec.device.str(), " can't be used: ", error.what(),
                       "; going on with torch's operations, which are slower"));
    }
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Columns> make_columns(const ColumnsSpec& spec) {
  const bool known_types = spec.products == at::kFloat ? spec.attention == at::kFloat
                                                       : spec.products == at::kBFloat16 &&
                                                             (spec.attention == at::kFloat ||
                                                              spec.attention == at::kBFloat16);
  if (!known_types) {
    fail("columns: there are no kernels for products in ", at::toString(spec.products),
         " and attention in ", at::toString(spec.attention));
  }
  if (spec.device.is_cpu()) return std::make_unique<KernelColumns>(spec, nullptr);
  using Key = std::tuple<int, at::ScalarType, at::ScalarType, int64_t, int64_t>;
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<const CudaKernels>> compiled;
  const std::lock_guard<std::mutex> lock(mutex);
  const Key key(spec.device.index(), spec.products, spec.attention, spec.shape.rank,
                spec.shape.up_rows);
  auto known = compiled.find(key);
  if (known == compiled.end()) known = compiled.emplace(key, compile(spec)).first;
  if (known->second == nullptr) return make_torch_columns(spec);
  return std::make_unique<KernelColumns>(spec, known->second);
}

}  // namespace last::gemm
