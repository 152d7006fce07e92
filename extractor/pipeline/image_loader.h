#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <ATen/core/Tensor.h>

#include "common/io/checksum.h"
#include "extractor/images/image_list.h"
#include "extractor/images/preprocess.h"
#include "extractor/images/views.h"
#include "extractor/pipeline/image_folders.h"
#include "extractor/pipeline/row_plan.h"

namespace last {

// What became of the image behind a row.
struct RowImage {
  Sha256Digest digest = {};  // of the file's bytes; zeros where it couldn't be read
  std::string bad_reason;    // empty: good
};

struct ImageBatch {
  std::vector<int64_t> rows;     // [B], in the shard
  at::Tensor pixels;             // fp32 [B, 3, H, W], normalised; zeros for bad images
  at::Tensor thumbnails;         // uint8 [B, S, S, 3], RGB; undefined where none are made
  std::vector<RowImage> images;  // [B]
};

// Reads, decodes and prepares the images of batches ahead of their use, on threads of its own; at
// most kWindow batches wait. Used by one thread.
class ImageLoader {
 public:
  struct Options {
    Preprocessing preprocessing;
    Views views;
    uint64_t max_pixels = 0;
    int threads = 1;
    bool pinned = false;         // page-locked memory, for copies to a GPU
    int64_t thumbnail_size = 0;  // 0: none are made
  };

  // Rows of each batch, ascending, in this order. `list`, its `folders` and `plan` must outlive the
  // loader. An Error where the system gives fewer threads.
  ImageLoader(const ImageList& list, const ImageFolders& folders, const RowPlan& plan,
              std::vector<std::vector<int64_t>> batches, const Options& options);
  ~ImageLoader();  // returns when the images in hand are decoded
  ImageLoader(const ImageLoader&) = delete;
  ImageLoader& operator=(const ImageLoader&) = delete;

  // The next batch, or nothing after the last one or when `patience` seconds have passed. Throws
  // what a thread threw; a bad image is no error, a vanished folder of images is.
  std::optional<ImageBatch> next(double patience);
  bool finished() const { return taken_ == batches_.size(); }

 private:
  static constexpr size_t kWindow = 3;

  // Rows of one image in one batch.
  struct Task;
  struct PendingBatch;

  void open_batches();
  void stop();
  void work();
  bool take_task(std::unique_lock<std::mutex>& lock, Task* task);
  void prepare(const Task& task) const;
  static void add_thumbnail(const cv::Mat& decoded, const Task& task, const at::Tensor& thumbnails);

  const ImageList& list_;
  const ImageFolders& folders_;
  const RowPlan& plan_;
  const std::vector<std::vector<int64_t>> batches_;
  const Options options_;

  std::mutex mutex_;
  std::condition_variable work_available_, batch_ready_;
  std::deque<std::unique_ptr<PendingBatch>> pending_;
  size_t opened_ = 0;
  size_t taken_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::vector<std::thread> threads_;
};

}  // namespace last
