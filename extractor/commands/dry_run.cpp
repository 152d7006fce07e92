#include "extractor/commands/dry_run.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>

#include <ATen/ops/zeros.h>

#include "common/cli/parse.h"
#include "common/feature_store/writer.h"

namespace last {
namespace {

namespace fs = std::filesystem;

// Of one row. A first pass warms up, a second one is timed.
double measure_seconds(const Extraction& extraction, const Vit& vit, int64_t batch_size) {
  constexpr int64_t kCheapBatch = 8;
  const int64_t rows = std::min({batch_size, kCheapBatch, extraction.plan.rows()});
  const Preprocessing& p = extraction.loader.preprocessing;
  const at::Tensor images = at::zeros({rows, 3, p.height, p.width}, c10::ScalarType::Float);
  double seconds = 0.0;
  for (int pass = 0; pass < 2; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    vit.maps(images, extraction.manifest.backbone.layers, extraction.manifest.dtype).cpu();
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return seconds / static_cast<double>(rows);
}

// The nearest folder of `path` that exists.
fs::path existing_folder(const std::string& path) {
  fs::path folder = fs::absolute(path).parent_path();
  while (!fs::exists(folder) && folder != folder.parent_path()) folder = folder.parent_path();
  return folder;
}

}  // namespace

void print_dry_run(const Extraction& extraction, const Vit& vit, int64_t batch_size) {
  const Manifest& manifest = extraction.manifest;
  const auto bytes = static_cast<double>(estimate_file_bytes(manifest));
  const auto available = static_cast<double>(fs::space(existing_folder(extraction.path)).available);
  const double seconds =
      measure_seconds(extraction, vit, batch_size) * static_cast<double>(manifest.rows);
  std::cout << "file            " << extraction.path << "\n"
            << "rows            " << manifest.rows << "\n"
            << "maps per row    " << manifest.layers() << " of " << manifest.backbone.tokens
            << " tokens x " << manifest.backbone.dim << ", " << dtype_name(manifest.dtype) << "\n"
            << "disk needed     " << format_size(bytes) << "\n"
            << "disk free       " << format_size(available)
            << (bytes > available ? "  TOO LITTLE" : "") << "\n"
            << "estimated time  " << format_duration(seconds) << " (the network alone"
            << (extraction.reuse != nullptr ? ", if no row can be copied" : "") << ")\n";
}

}  // namespace last
