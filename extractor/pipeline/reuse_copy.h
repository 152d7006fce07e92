#pragma once

#include "common/feature_store/writer.h"
#include "extractor/pipeline/extraction.h"

namespace last {

// Copies what extraction.reuse has of the absent rows: reads each image's bytes, looks for their
// digest, and copies the row. Pictures are made from the image. Rows of an incomplete last batch
// and images that can't be read are left absent. Throws Interrupted.
void copy_reusable_rows(const Extraction& extraction, FeatureStoreWriter& store);

}  // namespace last
