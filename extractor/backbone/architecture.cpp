#include "extractor/backbone/architecture.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"

namespace last {
namespace {

struct KnownSize {
  int64_t dim, depth, heads;
};

// timm, DeiT, DINO, DINOv2, MAE, CLIP, SigLIP, AugReg. All but the largest have 64 channels a head.
constexpr KnownSize kKnownSizes[] = {
    {192, 12, 3},   {256, 10, 4},   {256, 14, 4},   {320, 14, 5},   {384, 12, 6},   {384, 36, 6},
    {512, 12, 8},   {512, 20, 8},   {640, 12, 10},  {768, 8, 8},    {768, 12, 12},  {832, 21, 13},
    {896, 12, 14},  {896, 18, 14},  {1024, 24, 16}, {1152, 27, 16}, {1280, 32, 16}, {1408, 40, 16},
    {1536, 40, 16}, {1664, 48, 16}, {1792, 64, 16}, {4096, 40, 32}};

// Models with SwiGLU that have other heads than the plain models of their size: DINOv3's H+ and
// DINOv2's giant.
constexpr KnownSize kKnownGatedSizes[] = {{1280, 32, 20}, {1536, 40, 24}};

// Parts of the names of models whose tensors look like a plain ViT's, and what they do otherwise.
constexpr std::pair<const char*, const char*> kUnsupported[] = {
    {"_pe_core_", "a rotary position embedding of its own"},
    {"_pe_lang_", "a rotary position embedding of its own"},
    {"_pe_spatial_", "a rotary position embedding of its own"},
    {"_rope_mixed_", "learnt rotary frequencies"},
    {"_rope_ape_", "a rotary position embedding of its own"},
    {"_rope_reg", "a rotary position embedding of its own"},
    {"patch16_rope_224", "a rotary position embedding of its own"},
    {"_relpos_", "relative position embeddings"},
    {"_radio_", "a position embedding of its own"},
    {"aimv2", "RMS norms"},
    {"sapiens2", "grouped queries"},
    {"naflexvit", "a position embedding of its own"}};

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// The SigLIP models to which timm gives the tanh form; the others have erf.
bool is_tanh_siglip(const std::string& name) {
  if (!contains(name, "siglip")) return false;
  const auto starts = [&](const char* prefix) { return name.starts_with(prefix); };
  return starts("vit_base_patch32") || starts("vit_so400m_patch16") || starts("vit_giantopt") ||
         (starts("vit_large_patch16") && contains(name, "512"));
}

}  // namespace

std::optional<int64_t> known_heads(int64_t dim, int64_t depth, bool gated) {
  for (const KnownSize& size : kKnownGatedSizes) {
    if (gated && size.dim == dim && size.depth == depth) return size.heads;
  }
  for (const KnownSize& size : kKnownSizes) {
    if (size.dim == dim && size.depth == depth) return size.heads;
  }
  return std::nullopt;
}

bool is_timm_name(const std::string& name) {
  constexpr std::array kStarts{"vit_", "deit", "flexivit_", "eva_", "eva02_", "beit3_", "test_vit"};
  return std::any_of(kStarts.begin(), kStarts.end(),
                     [&](const char* start) { return name.starts_with(start); });
}

ArchitectureHints hints_of_timm_name(const std::string& name) {
  for (const auto& [part, reason] : kUnsupported) {
    if (contains(name, part)) {
      fail("the architecture ", quoted_name(name), " is not supported: it has ", reason,
           ", which the names of its tensors don't show");
    }
  }
  ArchitectureHints hints;
  hints.source = "the name " + name;
  if (!is_timm_name(name)) return hints;
  if (contains(name, "quickgelu")) {
    hints.activation = Activation::kQuickGelu;
  } else {
    hints.activation = is_tanh_siglip(name) ? Activation::kGeluTanh : Activation::kGelu;
  }
  const bool eva = name.starts_with("eva");
  const bool dinov3 = contains(name, "_dinov3") || contains(name, "_lingbot");
  const bool eps_1e5 = (contains(name, "_clip_") && !eva) || name.starts_with("beit3") || dinov3;
  hints.norm_eps = eps_1e5 ? 1e-5 : 1e-6;
  const bool after = contains(name, "eva02_enormous") || contains(name, "_rpn_");
  hints.norm_place = after ? NormPlace::kAfter : NormPlace::kBefore;
  // FlexiViT was trained with bilinear resampling, of positions and patches.
  const bool flexible = name.starts_with("flexivit");
  hints.pos_embed = flexible ? PosEmbedMode::kTimmNpz : PosEmbedMode::kTimm;
  hints.patch_resampling = flexible ? PatchResampling::kBilinear : PatchResampling::kBicubic;
  if (name.starts_with("test_")) return hints;  // some have a cls token, others a register
  const size_t registers = name.find("_reg");
  hints.registers = dinov3                           ? 4
                    : registers != std::string::npos ? std::atoll(name.c_str() + registers + 4)
                                                     : 0;
  hints.has_cls_token = !contains(name, "siglip") && !contains(name, "_gap") &&
                        !contains(name, "_map") && !contains(name, "_rpn_");
  return hints;
}

}  // namespace last
