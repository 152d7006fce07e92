#include "trainer/training/bank.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/common/last/example_network.h"
#include "trainer/training/candidates.h"

namespace last {
namespace {

Setting setting(int64_t index, double rate, int64_t rank, int64_t seed = 0, int64_t target = 0) {
  Setting s;
  s.index = index;
  s.learning_rate = rate;
  s.network.rank = rank;
  s.seed = seed;
  s.target = target;
  return s;
}

struct Banks : testing::Test {
  void make(const std::vector<Setting>& settings) {
    banks = make_banks(settings, targets, backbone, {});
  }
  NetworkProgress& progress(int64_t index) {
    for (auto& bank : banks) {
      for (size_t k = 0; k < bank.settings().size(); ++k) {
        if (bank.settings()[k].index == index) return bank.progress()[k];
      }
    }
    throw std::out_of_range("no such network");
  }

  BackboneInfo backbone = example_network(FinalNorm::kFrozen).backbone;
  std::vector<Target> targets = {{"shape", 3, {}}, {"colour", 5, {}}};
  std::vector<Bank> banks;
};

TEST_F(Banks, KeepingSomeNetworksFreesWhatTheOthersHeld) {
  make({setting(0, 1e-3, 4), setting(1, 1e-2, 4), setting(2, 1e-3, 4, 0, 1), setting(3, 1e-3, 2)});
  ASSERT_EQ(banks.size(), 2u);
  const auto kept = banks[0].parameters().network(1).clone();
  keep_networks(banks, {0, 1});
  ASSERT_EQ(banks.size(), 1u);  // that of rank 2 is gone
  auto& bank = banks[0];
  EXPECT_EQ(bank.networks(), 2);
  const std::vector<std::pair<const char*, Parameters*>> held = {
      {"parameters", &bank.parameters()},
      {"first moment", &bank.optimizer().first_moment()},
      {"second moment", &bank.optimizer().second_moment()}};
  for (const auto& [name, parameters] : held) {
    for (const auto& [tensor_name, tensor] : parameters->named()) {
      EXPECT_EQ(tensor.size(0), 2) << name << ", " << tensor_name;
      EXPECT_EQ(static_cast<int64_t>(tensor.storage().nbytes()), 4 * tensor.numel())
          << name << ", " << tensor_name;
    }
    EXPECT_EQ(parameters->head_weight.size(1), 3) << name;  // the five classes went with network 2
  }
  EXPECT_EQ(bank.optimizer().steps().size(), 2u);
  EXPECT_TRUE(bank.parameters().network(1).qkv_weight.equal(kept.qkv_weight));
}

TEST_F(Banks, TheBestSoFarIsWhatWouldBeChosen) {
  make({setting(0, 1, 4, 0), setting(1, 1, 4, 1), setting(2, 1, 2, 0), setting(3, 1, 2, 1),
        setting(4, 3, 2, 0), setting(5, 3, 2, 1), setting(6, 9, 2, 0), setting(7, 9, 2, 1),
        setting(8, 1, 4, 0, 1)});
  const double accuracies[] = {90, 92, 91, 91, 99, 99, 98};  // network 7's is not measured yet
  for (int64_t i = 0; i < 7; ++i) progress(i).val_accuracy = accuracies[i];
  progress(5).status = NetworkStatus::kDiverged;
  const auto best = best_so_far(banks, targets, backbone);
  ASSERT_EQ(best.size(), 2u);
  ASSERT_TRUE(best[0].has_value());
  EXPECT_EQ(best[0]->setting.index, 2);  // as good as network 0 and smaller
  EXPECT_EQ(best[0]->mean_val_accuracy, 91);
  EXPECT_EQ(best[0]->members.size(), 2u);
  EXPECT_FALSE(best[1].has_value());
}

}  // namespace
}  // namespace last
