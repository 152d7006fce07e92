#include "extractor/backbone/prefix_tokens.h"

#include <cmath>
#include <optional>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

// The first of them that states `member`; null: none.
template <class T>
const ArchitectureHints* who_states(const TokenSources& sources,
                                    std::optional<T> ArchitectureHints::*member) {
  for (const ArchitectureHints& source : sources) {
    if (source.*member) return &source;
  }
  return nullptr;
}

}  // namespace

int64_t count_tokens(const CanonicalCheckpoint& checkpoint, const std::string& name) {
  const auto found = checkpoint.tensors.find(name);
  if (found == checkpoint.tensors.end() || found->second.dim() != 3) return 0;
  return found->second.shape[1];
}

void require_stated_tokens(const CanonicalCheckpoint& checkpoint, const TokenSources& sources,
                           const std::string& path) {
  const auto missing = [&](const char* name) {
    return concat("\"", path, "\": tensor ", quoted_name(name_in_file(checkpoint, name)));
  };
  const ArchitectureHints* cls = who_states(sources, &ArchitectureHints::has_cls_token);
  if (cls != nullptr && *cls->has_cls_token && checkpoint.tensors.count("cls_token") == 0) {
    fail(missing("cls_token"), " is missing: ", cls->source, " speaks of a model that has it");
  }
  const ArchitectureHints* registers = who_states(sources, &ArchitectureHints::registers);
  const int64_t found = count_tokens(checkpoint, "reg_token");
  if (registers != nullptr && *registers->registers > found) {
    fail(missing("reg_token"), found == 0 ? " is missing: " : " is too small: ", registers->source,
         " speaks of ", *registers->registers, " registers, the file has ", found);
  }
}

void note_uncounted_tokens(const CanonicalCheckpoint& checkpoint, const ResolvedModel& model,
                           const TokenSources& sources, BackboneReport& report) {
  const bool uncounted = model.config.has_pos_embed && model.positions.prefix == 0;
  const auto note = [&](const char* what) {
    report.notes.push_back(concat("the file has no ", what,
                                  "; neither the position embedding nor a file beside the weights "
                                  "tells whether the model has"));
  };
  if (uncounted && !model.config.has_cls_token && !checkpoint.prefix_lacks_positions &&
      who_states(sources, &ArchitectureHints::has_cls_token) == nullptr) {
    note("cls token");
  }
  if (checkpoint.may_have_registers && count_tokens(checkpoint, "reg_token") == 0 &&
      (uncounted || checkpoint.registers_lack_positions) &&
      who_states(sources, &ArchitectureHints::registers) == nullptr) {
    note("registers");
  }
}

std::string tokens_that_explain(const CanonicalCheckpoint& checkpoint, int64_t rows) {
  const auto side = static_cast<int64_t>(std::sqrt(static_cast<double>(rows)));
  const int64_t registers = count_tokens(checkpoint, "reg_token");
  int64_t more = rows - side * side;  // than patches, and then than tokens that are there
  for (const char* name : {"cls_token", "dist_token"}) more -= count_tokens(checkpoint, name);
  if (!checkpoint.registers_lack_positions && more > registers) more -= registers;
  const auto named = [&](const char* name) { return quoted_name(name_in_file(checkpoint, name)); };
  constexpr int64_t kMostRegisters = 8;
  if (more < 1 || more > kMostRegisters) return "";
  if (more == 1 && checkpoint.tensors.count("cls_token") == 0) return named("cls_token");
  if (more == 1 && checkpoint.tensors.count("dist_token") == 0) {
    return concat(named("dist_token"), registers == 0 ? " or " + named("reg_token") : "");
  }
  return registers == 0 ? named("reg_token") : "";
}

}  // namespace last
