#include <iostream>

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/option_parser.h"
#include "common/cli/program.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "common/feature_store/reader.h"
#include "extractor/commands/commands.h"

namespace last {
namespace {

struct Size {
  int64_t rows = 0;
  size_t files = 0;
};

// Zeros for a store that can't be opened: verifying says why, and checks what can be checked.
Size size_of(const std::string& cache) {
  try {
    const FeatureStoreReader store(cache);
    for (const std::string& warning : store.warnings()) log_warning(warning);
    return {store.manifest().rows, store.shard_files().size()};
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

int extractor_verify(const std::vector<std::string>& arguments) {
  OptionParser parser("extractor verify", "checks every checksum of a feature store");
  std::string cache;
  parser.group("Feature store")
      .add_options()("cache", boost::program_options::value(&cache)->value_name("NAME.h5"),
                     "finished feature store or its set of shards (required)");
  if (!parser.parse(arguments)) return kExitDone;
  if (cache.empty()) fail_usage("--cache NAME.h5 is missing");
  install_interrupt_handlers(std::nullopt);
  const Size size = size_of(cache);
  Progress progress("verifying", "rows", size.rows);
  const std::vector<std::string> damage = verify_feature_store(cache, [&](int64_t rows) {
    check_interrupt("run the same command again");
    if (size.rows > 0) progress.update(rows);
  });
  if (size.rows > 0) progress.finish();
  for (const std::string& line : damage) log_error(line);
  if (!damage.empty()) return kExitError;
  std::cout << cache << ": all checksums are right (" << size.rows << " rows, " << size.files
            << (size.files == 1 ? " file)\n" : " files)\n");
  return kExitDone;
}

}  // namespace last
