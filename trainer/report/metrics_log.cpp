#include "trainer/report/metrics_log.h"

#include <filesystem>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/io/checksum.h"
#include "trainer/training/json_number.h"
#include "trainer/training/schedule.h"

namespace last {
namespace {

constexpr auto number = json_number<nlohmann::ordered_json>;

constexpr char kCheckpoint[] = "the checkpoint beside it";
constexpr char kRemedy[] = "delete the run directory and start again";

void check_start(const File& file, const MetricsLog::Position& start,
                 const std::string& counted_by = kCheckpoint, const std::string& remedy = kRemedy) {
  if (file.size() < start.bytes) {
    fail("\"", file.path(), "\" has ", file.size(), " bytes, but ", counted_by, " counts ",
         start.bytes, "; ", remedy);
  }
  std::string kept(start.bytes, '\0');
  file.read_at(kept.data(), kept.size(), 0);
  if (crc32c(kept.data(), kept.size()) != start.crc32c) {
    fail("\"", file.path(), "\" is damaged: its first ", start.bytes, " bytes are not those that ",
         counted_by, " was saved with; ", remedy);
  }
}

}  // namespace

void MetricsLog::check(const std::string& path, const Position& start,
                       const std::string& counted_by, const std::string& remedy) {
  check_start(File::open_read(path), start, counted_by, remedy);
}

void MetricsLog::check(const std::string& path, const Position& start) {
  check_start(File::open_read(path), start);
}

MetricsLog::MetricsLog(const std::string& path, const Position& start) : position_(start) {
  if (std::filesystem::exists(path)) {
    file_ = File::open_read_write(path);
  } else {
    file_ = File::create(path);
    sync_parent_folder(path);  // before a checkpoint, which lies in another one, counts its bytes
  }
  check_start(file_, start);
  if (::ftruncate(file_.descriptor(), static_cast<off_t>(start.bytes)) != 0) {
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
          {"val_loss", number(network.val_loss)},
          {"seconds", number(network.seconds)}};
      lines += line.dump() + "\n";
    }
  }
  file_.write_at(lines.data(), lines.size(), position_.bytes);
  file_.sync();
  position_.bytes += lines.size();
  position_.crc32c = crc32c(lines.data(), lines.size(), position_.crc32c);
}

}  // namespace last
