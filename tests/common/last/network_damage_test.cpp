#include <functional>
#include <unistd.h>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/io/file.h"
#include "common/last/bundle.h"
#include "tests/common/last/example_network.h"
#include "tests/damage.h"

namespace last {
namespace {

// 500 flipped bytes and 50 truncations of the file: `load` refuses each with an Error that names
// it.
void expect_found(const std::string& path, const std::function<void()>& load) {
  for_each_damage(read_text_file(path), 500, 50,
                  [&](const std::string& bytes, const std::string& what) {
                    overwrite(path, bytes);
                    try {
                      load();
                      ADD_FAILURE() << what;
                    } catch (const Error& error) {
                      EXPECT_NE(std::string(error.what()).find(path), std::string::npos)
                          << what << ": " << error.what();
                    }
                  });
}

std::string temporary_path() {
  return testing::TempDir() + "/network_damage." + std::to_string(::getpid()) + ".safetensors";
}

TEST(NetworkDamage, OfANetworkFileIsFound) {
  const std::string path = temporary_path();
  save_network(path, example_network(FinalNorm::kFrozen));
  expect_found(path, [&] { load_network(path); });
}

TEST(NetworkDamage, OfABundleIsFound) {
  const std::string path = temporary_path();
  const NetworkFile network = example_network(FinalNorm::kTrainable);
  save_bundle(path, {{network, network}});
  expect_found(path, [&] { load_bundle(path); });
}

}  // namespace
}  // namespace last
