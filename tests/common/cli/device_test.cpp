#include "common/cli/device.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "common/error.h"

namespace last {
namespace {

TEST(ResolveDevice, RefusesWhatIsNoDevice) {
  EXPECT_TRUE(resolve_device("cpu").is_cpu());
  for (const char* name : {"gpu", "cuda1", "cuda:x", "cuda:-1", ""}) {
    EXPECT_THROW(resolve_device(name), UsageError) << name;
  }
}

TEST(ResolveDevice, NeverFallsBackSilently) {
  if (std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_TRUE(resolve_device("auto").is_cpu());
  EXPECT_THROW(resolve_device("cuda"), Error);
  EXPECT_THROW(resolve_device("cuda:0"), Error);
}

TEST(ConfigureThreads, ZeroMeansAllProcessors) {
  EXPECT_EQ(configure_threads(0), available_processors());
  EXPECT_EQ(configure_threads(1), 1);
  EXPECT_THROW(configure_threads(-1), UsageError);
}

}  // namespace
}  // namespace last
