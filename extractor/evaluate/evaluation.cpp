#include "extractor/evaluate/evaluation.h"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/progress.h"
#include "common/error.h"
#include "common/io/csv.h"
#include "common/io/file.h"
#include "extractor/evaluate/csv_output.h"
#include "extractor/evaluate/network_set.h"
#include "extractor/evaluate/predictions.h"
#include "extractor/pipeline/bad_images.h"

namespace last {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double kPatience = 0.1;  // seconds between looks for an interrupt
constexpr char kNothingKept[] = "nothing was kept; run the same command again";

void make_folder(const fs::path& out) {
  std::error_code code;
  fs::create_directories(out, code);
  if (code) fail("--out ", out.string(), ": can't make the folder: ", code.message());
}

void refuse_earlier_results(const fs::path& out) {
  for (const char* name : {"predictions.csv", "summary.csv", "confusion.csv", "bad.csv"}) {
    if (fs::exists(out / name)) {
      fail("\"", (out / name).string(),
           "\" is there from an earlier evaluation: delete it, or name another --out");
    }
  }
}

std::vector<Predictions> make_predictions(const Evaluation& job) {
  std::vector<Predictions> predictions;
  std::vector<std::string> warnings;
  using Key = std::tuple<std::string, int64_t, std::vector<std::string>>;
  std::map<Key, std::shared_ptr<const TargetLabels>> known;
  for (const NamedBundle& network : job.networks) {
    const auto& names = network.bundle.members.front().class_names;
    auto& labels = known[{network.target(), network.classes(), names}];
    if (!labels) {
      labels = std::make_shared<const TargetLabels>(match_labels(job.list, network, &warnings));
    }
    predictions.emplace_back(network, labels, job.top_k);
  }
  for (const std::string& warning : warnings) log_warning(warning);
  return predictions;
}

// One pass over the images. `write` gets the lines of predictions.csv in order.
class Pass {
 public:
  Pass(const Evaluation& job, const Backbone& backbone)
      : job_(job),
        vit_(backbone.vit),
        layers_(needed_layers(job.networks)),
        set_(job.networks, backbone.info(layers_), job.device, job.threads),
        predictions_(make_predictions(job)) {
    result_.networks = set_.size();
  }

  void run(CsvOutput& out) {
    const auto start = Clock::now();
    const auto images = static_cast<int64_t>(job_.list.size());
    const RowPlan plan(images, 1, job_.batch_size, 0, 1);
    std::vector<std::vector<int64_t>> batches(static_cast<size_t>(plan.batches()));
    for (int64_t image = 0; image < images; ++image) {
      batches[static_cast<size_t>(image / job_.batch_size)].push_back(image);
    }
    Progress progress("evaluating", "images", images);
    out.write(Predictions::header(job_.top_k));
    const ImageFolders folders(job_.list);
    ImageLoader loader(job_.list, folders, plan, std::move(batches), job_.loader);
    while (!loader.finished()) {
      check_interrupt(kNothingKept);
      const std::optional<ImageBatch> batch = loader.next(kPatience);
      if (!batch) continue;
      add(*batch, out);
      progress.update(result_.images + bad_.count());
    }
    check_interrupt(kNothingKept);
    progress.finish();
    if (result_.images == 0) {
      fail("not one of ", bad_.count(), " images can be read; the first: ", bad_.first());
    }
    result_.bad_images = bad_.count();
    result_.seconds = seconds_since(start);
  }

  const EvaluationResult& result() const { return result_; }
  const std::vector<Predictions>& predictions() const { return predictions_; }
  const BadImages& bad() const { return bad_; }

 private:
  void add(const ImageBatch& batch, CsvOutput& out) {
    const auto start = Clock::now();
    const at::Tensor maps = vit_.maps(batch.pixels, layers_, job_.store);
    const double backbone_seconds = seconds_since(start);
    const std::vector<at::Tensor> probabilities = set_.probabilities(maps);
    result_.backbone_seconds += backbone_seconds;
    result_.network_seconds += seconds_since(start) - backbone_seconds;
    std::string text;
    for (size_t i = 0; i < batch.images.size(); ++i) {
      const int64_t image = batch.rows[i];
      const std::string& id = job_.list.ids[static_cast<size_t>(image)];
      if (const std::string& reason = batch.images[i].bad_reason; !reason.empty()) {
        bad_.add(image, id, reason);
        continue;
      }
      ++result_.images;
      const std::string field = csv_field(id);
      for (size_t n = 0; n < predictions_.size(); ++n) {
        const auto row = static_cast<int64_t>(i) * probabilities[n].size(1);
        text += predictions_[n].add(image, field, probabilities[n].const_data_ptr<float>() + row);
      }
    }
    out.write(text);
  }

  const Evaluation& job_;
  const Vit& vit_;
  std::vector<int64_t> layers_;
  NetworkSet set_;
  std::vector<Predictions> predictions_;
  BadImages bad_;
  EvaluationResult result_;
};

}  // namespace

EvaluationResult evaluate(const Evaluation& job, const Backbone& backbone) {
  const fs::path out = job.out;
  make_folder(out);
  const FileLock lock(out / ".lock");
  refuse_earlier_results(out);
  Pass pass(job, backbone);
  CsvOutput predictions(out / "predictions.csv");
  CsvOutput confusion(out / "confusion.csv");
  CsvOutput summary(out / "summary.csv");
  pass.run(predictions);
  confusion.write("network,target,label,prediction,count\n");
  summary.write("network,target,images,accuracy,mean_class_accuracy\n");
  for (const Predictions& network : pass.predictions()) {
    confusion.write(network.confusion());
    summary.write(network.summary());
  }
  std::vector<CsvOutput*> files = {&predictions, &confusion, &summary};
  std::optional<CsvOutput> bad;
  if (pass.bad().count() > 0) {
    files.push_back(&bad.emplace(out / "bad.csv"));
    bad->write(pass.bad().text());
  }
  for (CsvOutput* file : files) file->finish();
  for (CsvOutput* file : files) file->publish();
  return pass.result();
}

}  // namespace last
