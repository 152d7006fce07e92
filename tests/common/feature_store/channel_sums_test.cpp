#include "common/feature_store/channel_sums.h"

#include <cstring>
#include <vector>

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <gtest/gtest.h>

namespace last {
namespace {

struct Sums {
  explicit Sums(int64_t dim) : shift(dim), sum(dim), squares(dim) {}
  ChannelSums places() { return {shift.data(), sum.data(), squares.data()}; }

  std::vector<double> shift, sum, squares;
};

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

// Against the definition, with c10's conversions.
template <class Element>
void expect_sums(const std::vector<Element>& data, int64_t tokens, int64_t dim,
                 c10::ScalarType dtype) {
  Sums expected(dim);
  for (int64_t c = 0; c < dim; ++c) {
    const auto value = [&](int64_t token) {
      return static_cast<double>(static_cast<float>(data[static_cast<size_t>(token * dim + c)]));
    };
    const auto i = static_cast<size_t>(c);
    expected.shift[i] = value(0);
    for (int64_t token = 0; token < tokens; ++token) {
      const double difference = value(token) - expected.shift[i];
      expected.sum[i] += difference;
      expected.squares[i] += difference * difference;
    }
  }
  for (size_t version = 0; version < channel_sums_functions().size(); ++version) {
    Sums found(dim);
    channel_sums_functions()[version](data.data(), tokens, dim, dtype, found.places());
    EXPECT_TRUE(same_bits(found.shift, expected.shift)) << version << ", dim " << dim;
    EXPECT_TRUE(same_bits(found.sum, expected.sum)) << version << ", dim " << dim;
    EXPECT_TRUE(same_bits(found.squares, expected.squares)) << version << ", dim " << dim;
  }
}

TEST(ChannelSums, AreTheDefinitionsForAllFiniteHalves) {
  std::vector<c10::Half> all;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) != 0x7c00)
      all.emplace_back(static_cast<uint16_t>(bits), c10::Half::from_bits());
  }
  ASSERT_EQ(all.size(), 63488U);
  expect_sums(all, 1, 63488, c10::ScalarType::Half);
  expect_sums(all, 64, 992, c10::ScalarType::Half);
}

TEST(ChannelSums, AreTheDefinitionsForEveryWidthAndType) {
  for (const int64_t dim : {1, 3, 4, 15, 16, 17, 31, 32, 33, 47, 64, 192, 197}) {
    constexpr int64_t kTokens = 5;
    std::vector<c10::Half> halves;
    std::vector<c10::BFloat16> shorts;
    std::vector<float> floats;
    for (int64_t i = 0; i < kTokens * dim; ++i) {
      const auto value = static_cast<float>(i * 7919 % 2003 - 1000) / 7;
      halves.emplace_back(value);
      shorts.emplace_back(value);
      floats.push_back(value);
    }
    expect_sums(halves, kTokens, dim, c10::ScalarType::Half);
    expect_sums(shorts, kTokens, dim, c10::ScalarType::BFloat16);
    expect_sums(floats, kTokens, dim, c10::ScalarType::Float);
  }
}

}  // namespace
}  // namespace last
