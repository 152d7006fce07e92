#include "extractor/pipeline/image_loader.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <system_error>
#include <utility>

#include <ATen/ops/zeros.h>
#include <c10/core/TensorOptions.h>

#include "common/error.h"
#include "extractor/images/bad_image.h"
#include "extractor/images/decode.h"
#include "extractor/images/image_file.h"
#include "extractor/pipeline/thumbnail.h"

namespace last {
namespace {

[[noreturn]] void fail_for_memory(const std::string& path) {
  fail("not enough memory for the image \"", path,
       "\"; fewer --decode-threads need less, and a lower --max-pixels makes it a bad image");
}

}  // namespace

struct ImageLoader::PendingBatch {
  ImageBatch batch;
  int64_t size = 0;      // rows
  int64_t claimed = 0;   // rows that a thread has taken
  int64_t finished = 0;  // rows that are prepared
};

struct ImageLoader::Task {
  PendingBatch* pending = nullptr;
  int64_t begin = 0;  // in the batch
  int64_t end = 0;
};

ImageLoader::ImageLoader(const ImageList& list, const ImageFolders& folders, const RowPlan& plan,
                         std::vector<std::vector<int64_t>> batches, const Options& options)
    : list_(list), folders_(folders), plan_(plan), batches_(std::move(batches)), options_(options) {
  open_batches();
  try {
    for (int i = 0; i < std::max(options.threads, 1); ++i) {
      threads_.emplace_back([this] { work(); });
    }
  } catch (const std::system_error& error) {
    stop();
    fail("can't start ", options.threads, " threads for images: ", error.code().message(),
         "; try fewer --decode-threads");
  }
}

ImageLoader::~ImageLoader() { stop(); }

void ImageLoader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_available_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ImageLoader::open_batches() {
  while (pending_.size() < kWindow && opened_ < batches_.size()) {
    auto pending = std::make_unique<PendingBatch>();
    pending->batch.rows = batches_[opened_++];
    pending->size = static_cast<int64_t>(pending->batch.rows.size());
    pending->batch.images.resize(pending->batch.rows.size());
    pending->batch.pixels = at::zeros(
        {pending->size, 3, options_.preprocessing.height, options_.preprocessing.width},
        c10::TensorOptions().dtype(c10::ScalarType::Float).pinned_memory(options_.pinned));
    if (const int64_t size = options_.thumbnail_size; size > 0) {
      pending->batch.thumbnails = at::zeros({pending->size, size, size, 3}, c10::ScalarType::Byte);
    }
    pending_.push_back(std::move(pending));
  }
}

std::optional<ImageBatch> ImageLoader::next(double patience) {
  std::unique_lock lock(mutex_);
  if (finished()) return std::nullopt;
  const auto ready = [&] { return error_ || pending_.front()->finished == pending_.front()->size; };
  if (!batch_ready_.wait_for(lock, std::chrono::duration<double>(patience), ready)) {
    return std::nullopt;
  }
  if (error_) std::rethrow_exception(error_);
  ImageBatch batch = std::move(pending_.front()->batch);
  pending_.pop_front();
  ++taken_;
  open_batches();
  lock.unlock();
  work_available_.notify_all();
  return batch;
}

// The views of an image that lie in one batch are one task: the image is decoded once for them.
bool ImageLoader::take_task(std::unique_lock<std::mutex>& lock, Task* task) {
  for (;;) {
    if (stop_) return false;
    for (const auto& pending : pending_) {
      if (pending->claimed == pending->size) continue;
      const auto image_of = [&](int64_t i) {
        return plan_.image_of(pending->batch.rows[static_cast<size_t>(i)]);
      };
      const int64_t image = image_of(pending->claimed);
      *task = {pending.get(), pending->claimed, pending->claimed};
      while (task->end < pending->size && image_of(task->end) == image) ++task->end;
      pending->claimed = task->end;
      return true;
    }
    if (opened_ == batches_.size()) return false;  // all is claimed
    work_available_.wait(lock);
  }
}

void ImageLoader::work() {
  std::unique_lock lock(mutex_);
  Task task;
  while (take_task(lock, &task)) {
    lock.unlock();
    std::exception_ptr error;
    try {
      prepare(task);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error) {
      error_ = error;
      stop_ = true;
      work_available_.notify_all();
    }
    task.pending->finished += task.end - task.begin;
    batch_ready_.notify_one();
  }
}

// The same picture for all views of the image.
void ImageLoader::add_thumbnail(const cv::Mat& decoded, const Task& task,
                                const at::Tensor& thumbnails) {
  const int64_t bytes = thumbnails.stride(0);
  auto* all = static_cast<uint8_t*>(thumbnails.data_ptr());
  uint8_t* first = all + task.begin * bytes;
  make_thumbnail(decoded, static_cast<int>(thumbnails.size(1)), first);
  for (int64_t row = task.begin + 1; row < task.end; ++row) {
    std::copy_n(first, bytes, all + row * bytes);
  }
}

void ImageLoader::prepare(const Task& task) const {
  ImageBatch& batch = task.pending->batch;
  const int64_t image = plan_.image_of(batch.rows[static_cast<size_t>(task.begin)]);
  const std::string& id = list_.ids[static_cast<size_t>(image)];
  const std::string& path = list_.paths[static_cast<size_t>(image)];
  const int64_t row_floats = batch.pixels.stride(0);
  float* pixels = static_cast<float*>(batch.pixels.data_ptr());
  RowImage result;
  try {
    const std::vector<uint8_t> bytes = read_image_file(path);
    result.digest = sha256(bytes.data(), bytes.size());
    const cv::Mat decoded = decode_image(bytes, options_.max_pixels);
    if (batch.thumbnails.defined()) add_thumbnail(decoded, task, batch.thumbnails);
    for (int64_t i = task.begin; i < task.end; ++i) {
      const int view = plan_.view_of(batch.rows[static_cast<size_t>(i)]);
      normalise(make_view(decoded, options_.preprocessing, options_.views, id, view),
                options_.preprocessing, pixels + i * row_floats);
    }
  } catch (const BadImage& error) {
    if (result.digest == Sha256Digest{}) folders_.require_folder_of(path);
    result.bad_reason = error.what();
    std::fill(pixels + task.begin * row_floats, pixels + task.end * row_floats, 0.0F);
  } catch (const std::bad_alloc&) {
    fail_for_memory(path);
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) fail_for_memory(path);
    throw;
  }
  std::fill(batch.images.begin() + task.begin, batch.images.begin() + task.end, result);
}

}  // namespace last
