#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "extractor/backbone/resolve.h"

namespace last {

// A file without its cls token or registers is a model too, with other features. What speaks
// against it: what is stated about the model, and the rows of pos_embed where these count tokens.

// Of the command line's --model NAME, the files beside the weights and the family: the first that
// states something counts.
using TokenSources = std::array<ArchitectureHints, 3>;

// An Error where the checkpoint has fewer tokens than stated.
void require_stated_tokens(const CanonicalCheckpoint& checkpoint, const TokenSources& sources,
                           const std::string& path);

// A note for what could be missing without that anything shows it. `model` has its positions.
void note_uncounted_tokens(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                           const TokenSources& sources, BackboneReport& report);

// The names of tokens that would explain why the rows of pos_embed are no square of patches; empty
// where none do.
std::string tokens_that_explain(const CanonicalCheckpoint& checkpoint, int64_t rows);

// Tokens in one of "cls_token", "dist_token", "reg_token"; 0 where it is missing.
int64_t count_tokens(const CanonicalCheckpoint& checkpoint, const std::string& name);

}  // namespace last
