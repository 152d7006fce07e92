#include "extractor/backbone/architecture.h"

namespace last {
namespace {

struct KnownSize {
  int64_t dim, depth, heads;
};

// timm, DeiT, DINO, DINOv2, MAE, CLIP, SigLIP, AugReg. All but the largest have 64 channels a head.
constexpr KnownSize kKnownSizes[] = {
    {192, 12, 3},   {256, 10, 4},   {256, 14, 4},   {320, 14, 5},   {384, 12, 6},
    {384, 36, 6},   {512, 12, 8},   {512, 20, 8},   {640, 12, 10},  {768, 8, 8},
    {768, 12, 12},  {832, 21, 13},  {896, 12, 14},  {896, 18, 14},  {1024, 24, 16},
    {1152, 27, 16}, {1280, 32, 16}, {1408, 40, 16}, {1536, 40, 16}, {1664, 48, 16}};

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
  if (dim == 1536 && depth == 40 && gated) return 24;  // DINOv2's giant; SigLIP2's is not gated
  for (const KnownSize& size : kKnownSizes) {
    if (size.dim == dim && size.depth == depth) return size.heads;
  }
  return std::nullopt;
}

ArchitectureHints hints_of_timm_name(const std::string& name) {
  ArchitectureHints hints;
  hints.source = "the name " + name;
  if (contains(name, "quickgelu")) {
    hints.activation = Activation::kQuickGelu;
  } else {
    hints.activation = is_tanh_siglip(name) ? Activation::kGeluTanh : Activation::kGelu;
  }
  hints.norm_eps = contains(name, "_clip_") || name.starts_with("beit3") ? 1e-5 : 1e-6;
  hints.pos_embed = PosEmbedMode::kTimm;
  return hints;
}

}  // namespace last
