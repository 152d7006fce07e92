#pragma once

#include <cstdint>
#include <string>

#include "common/feature_store/manifest.h"
#include "extractor/backbone/vit.h"
#include "extractor/images/image_list.h"
#include "extractor/pipeline/image_loader.h"
#include "extractor/pipeline/reuse.h"
#include "extractor/pipeline/row_plan.h"

namespace last {

// One shard to extract.
struct Extraction {
  std::string path;  // of the shard's file
  const ImageList& list;
  const RowPlan& plan;
  Manifest manifest;
  ImageLoader::Options loader;
  int write_threads = 1;
  int64_t batch_size = 32;  // the plan's
  const ReusableRows* reuse = nullptr;
};

// Images that could not be used.
struct ExtractionResult {
  int64_t bad_images = 0;
};

// decode -> forward -> store. Creates or resumes the store; batches with a missing row are computed
// whole, so that the result doesn't depend on where an earlier run stopped. With `reuse`, rows of
// images that are there are copied, and what is missing then is computed in batches of the same
// size. Stored rows whose image has changed since are an Error, and so is a folder of images that
// vanishes meanwhile, or has vanished since the store was begun; the same call goes on from there.
// Images that couldn't be read are tried again at the end. Throws Interrupted after the batch in
// hand; an Error where not one image is readable.
ExtractionResult extract(const Extraction& extraction, const Vit& vit);

// Checks a finished store against what would be extracted now: configuration, list and images.
// Writes the list of bad images again where it is gone.
ExtractionResult check_finished(const Extraction& extraction);

// Error where a finished store was made of other images, weights or options.
void check_same_store(const Extraction& extraction, const FeatureStoreReader& store);

// The manifest of one shard: the parts of `whole` (labels and ids by image) that are its rows.
Manifest shard_manifest(Manifest whole, const ImageList& list, const RowPlan& plan);

}  // namespace last
