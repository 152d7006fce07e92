#pragma once

#include "extractor/pipeline/extraction.h"

namespace last {

// Prints to standard output what an extraction would do: rows, tokens, bytes, free disk and a time
// estimated from a small forward pass. Writes no file.
void print_dry_run(const Extraction& extraction, const Vit& vit, int64_t batch_size);

}  // namespace last
