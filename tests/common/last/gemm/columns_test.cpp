#include "common/last/gemm/columns.h"

#include <utility>

#include <gtest/gtest.h>

#include "common/error.h"

namespace last::gemm {
namespace {

Shape shape_of(int64_t rank, bool biases) {
  Shape shape;
  shape.dim = 96;
  shape.tokens = 7;
  shape.rank = rank;
  shape.blocks = 3;
  shape.up_rows = rank + (biases ? 1 : 0);
  return shape;
}

// With ranks that make whole packs of 16 bytes and such that don't.
TEST(Columns, KernelsEqualTorchsOperations) {
  const std::pair<at::ScalarType, at::ScalarType> types[] = {
      {at::kFloat, at::kFloat}, {at::kBFloat16, at::kFloat}, {at::kBFloat16, at::kBFloat16}};
  for (const auto& [products, attention] : types) {
    for (const int64_t rank : {1, 3, 4, 8, 16}) {
      for (const bool biases : {false, true}) {
        SCOPED_TRACE(concat(at::toString(products), ", ", at::toString(attention), ", rank ", rank,
                            biases ? ", biases" : ""));
        const ColumnsSpec spec{shape_of(rank, biases), c10::kCPU, products, attention, 2, 3};
        const double difference =
            largest_difference(*make_columns(spec), *make_torch_columns(spec), spec);
        EXPECT_LE(difference, products == at::kFloat ? 1e-5 : 0.02);
      }
    }
  }
}

// What the check of a GPU's kernels rests on.
TEST(Columns, ADifferenceIsSeen) {
  const ColumnsSpec spec{shape_of(4, false), c10::kCPU, at::kFloat, at::kFloat, 2, 3};
  auto other = spec;
  other.shape.dim = 90;
  EXPECT_GT(largest_difference(*make_columns(spec), *make_torch_columns(other), spec), 1e-3);
}

TEST(Columns, OtherTypesAreRefused) {
  EXPECT_THROW(make_columns({shape_of(4, false), c10::kCPU, at::kFloat, at::kBFloat16, 2, 3}),
               Error);
  EXPECT_THROW(make_columns({shape_of(4, false), c10::kCPU, at::kHalf, at::kHalf, 2, 3}), Error);
}

}  // namespace
}  // namespace last::gemm
