#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <c10/core/Device.h>

#include "extractor/backbone/load.h"
#include "extractor/evaluate/networks.h"
#include "extractor/images/image_list.h"
#include "extractor/pipeline/image_loader.h"

namespace last {

// Images through a backbone and all networks in one pass.
struct Evaluation {
  const ImageList& list;
  const std::vector<NamedBundle>& networks;
  ImageLoader::Options loader;
  c10::ScalarType store = c10::ScalarType::Half;  // maps are rounded to, as a feature store would
  c10::Device device = c10::kCPU;
  int threads = 1;
  int64_t batch_size = 32;
  int64_t top_k = 5;
  std::string out;  // folder; made where it is missing
};

struct EvaluationResult {
  int64_t images = 0;  // classified
  int64_t bad_images = 0;
  int64_t networks = 0;           // computed, an ensemble's members one by one
  double seconds = 0.0;           // all in all
  double backbone_seconds = 0.0;  // of them in the forward pass; on a GPU the networks' wait for it
  double network_seconds = 0.0;
};

// Writes predictions.csv, summary.csv and confusion.csv, and bad.csv where an image is bad, into
// evaluation.out; all of them at the end, so that nothing unfinished has their names. Errors: files
// of an earlier evaluation are there, another process writes there, not one image is readable, a
// number is not finite. Interrupted leaves nothing but the lock, OUT/.lock.
EvaluationResult evaluate(const Evaluation& evaluation, const Backbone& backbone);

}  // namespace last
