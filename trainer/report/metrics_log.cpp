#include "trainer/report/metrics_log.h"

#include <filesystem>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "trainer/training/json_number.h"
#include "trainer/training/schedule.h"

namespace last {
namespace {

constexpr auto number = json_number<nlohmann::ordered_json>;

}  // namespace

MetricsLog::MetricsLog(const std::string& path, uint64_t bytes) : bytes_(bytes) {
  file_ = std::filesystem::exists(path) ? File::open_read_write(path) : File::create(path);
  if (file_.size() < bytes) {
    fail("\"", path, "\" has ", file_.size(), " bytes, but the checkpoint beside it counts ", bytes,
         "; delete the run directory and start again");
  }
  if (::ftruncate(file_.descriptor(), static_cast<off_t>(bytes)) != 0) {
    fail_errno(concat("can't cut \"", path, "\""));
  }
}

void MetricsLog::append_epoch(const std::vector<Bank>& banks, int64_t epoch, int64_t epochs,
                              int64_t warmup_epochs) {
  std::string lines;
  for (const auto& bank : banks) {
    for (size_t k = 0; k < bank.settings().size(); ++k) {
      const auto& setting = bank.settings()[k];
      const auto& network = bank.progress()[k];
      const nlohmann::ordered_json line = {
          {"network", setting.index},
          {"epoch", epoch},
          {"learning_rate",
           learning_rate_at(epoch - 1, setting.learning_rate, epochs, warmup_epochs)},
          {"train_loss", number(network.train_loss)},
          {"train_accuracy", number(network.train_accuracy)},
          {"val_accuracy", number(network.val_accuracy)},
          {"seconds", number(network.seconds)}};
      lines += line.dump() + "\n";
    }
  }
  file_.write_at(lines.data(), lines.size(), bytes_);
  file_.sync();
  bytes_ += lines.size();
}

}  // namespace last
