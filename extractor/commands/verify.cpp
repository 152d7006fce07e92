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

int extractor_verify(const std::vector<std::string>& arguments) {
  OptionParser parser("extractor verify", "checks every checksum of a feature store");
  std::string cache;
  parser.group("Feature store")
      .add_options()("cache", boost::program_options::value(&cache)->value_name("NAME.h5"),
                     "finished feature store or its set of shards (required)");
  if (!parser.parse(arguments)) return kExitDone;
  if (cache.empty()) fail_usage("--cache NAME.h5 is missing");
  install_interrupt_handlers(std::nullopt);
  const FeatureStoreReader store(cache);
  for (const std::string& warning : store.warnings()) log_warning(warning);
  Progress progress("verifying", "rows", store.manifest().rows);
  const std::vector<std::string> damage = store.verify([&](int64_t rows) {
    check_interrupt("run the same command again");
    progress.update(rows);
  });
  progress.finish();
  for (const std::string& line : damage) log_error(line);
  if (!damage.empty()) return kExitError;
  std::cout << cache << ": all checksums are right (" << store.manifest().rows << " rows, "
            << store.shard_files().size()
            << (store.shard_files().size() == 1 ? " file)\n" : " files)\n");
  return kExitDone;
}

}  // namespace last
