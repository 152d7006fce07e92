#include "common/feature_store/finite.h"

#include <limits>
#include <vector>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <gtest/gtest.h>

namespace last {
namespace {

template <class Element>
class Finite : public ::testing::Test {};
using Elements = ::testing::Types<c10::Half, c10::BFloat16, float>;
TYPED_TEST_SUITE(Finite, Elements);

TYPED_TEST(Finite, FindsTheFirstOfEachKind) {
  constexpr c10::ScalarType kType = c10::CppTypeToScalarType<TypeParam>::value;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (const int64_t position : {0, 1, 4095, 4096, 9000, 9999}) {
      std::vector<TypeParam> values(10000, TypeParam(-1.5f));
      values[static_cast<size_t>(position)] = TypeParam(bad);
      values.back() = TypeParam(bad);
      EXPECT_EQ(first_non_finite(values.data(), 10000, kType), position);
    }
  }
}

TYPED_TEST(Finite, AcceptsEveryFiniteNumber) {
  using Limits = std::numeric_limits<TypeParam>;
  const std::vector<TypeParam> values = {Limits::max(),        Limits::lowest(), Limits::min(),
                                         Limits::denorm_min(), TypeParam(0.0f),  TypeParam(-0.0f)};
  EXPECT_EQ(first_non_finite(values.data(), static_cast<int64_t>(values.size()),
                             c10::CppTypeToScalarType<TypeParam>::value),
            std::nullopt);
}

}  // namespace
}  // namespace last
