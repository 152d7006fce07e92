#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/io/checksum.h"
#include "extractor/images/image_list.h"
#include "extractor/pipeline/row_plan.h"

namespace last {

// Compares image files with the digests recorded in a store: for every row of the plan where
// `recorded` returns a digest, that of its file must be the same (zeros: there was no readable
// file). Otherwise an Error names the image: the store is stale. Reads each file once, on `threads`
// threads; ends early when interrupted, which the caller has to check.
void check_image_digests(const ImageList& list, const RowPlan& plan, int threads,
                         const std::string& store,
                         const std::function<std::optional<Sha256Digest>(int64_t row)>& recorded);

}  // namespace last
