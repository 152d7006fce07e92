#include "extractor/backbone/families/google.h"

#include <algorithm>
#include <utility>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/families/timm.h"
#include "extractor/backbone/fuse_rows.h"

namespace last {
namespace {

bool any_name_has(const StateDict& tensors, const char* part) {
  return std::ranges::any_of(
      tensors, [&](const auto& entry) { return entry.first.find(part) != std::string::npos; });
}

bool applies(const StateDict& tensors) {
  return !below_prefix(tensors, "Transformer/encoderblock").empty();
}

// Transformer/encoderblock/REST [L, ..] -> Transformer/encoderblock_{i}/REST [..]
StateDict unstacked(const StateDict& tensors) {
  const std::string stacked = "Transformer/encoderblock/";
  StateDict result;
  int64_t layers = -1;
  for (const auto& [name, entry] : tensors) {
    if (!name.starts_with(stacked)) {
      insert_new(result, name, entry);
      continue;
    }
    if (entry.dim() == 0 || entry.shape[0] < 1 || entry.shape[0] > 999 ||
        (layers >= 0 && layers != entry.shape[0])) {
      fail("tensor ", quoted_name(entry.origin), ": shape ", at::IntArrayRef(entry.shape),
           "; a stack of as many blocks as the other tensors have is expected");
    }
    layers = entry.shape[0];
    for (int64_t i = 0; i < layers; ++i) {
      NamedTensor row = entry;
      row.shape.erase(row.shape.begin());
      row.origin = concat(entry.origin, "[", i, "]");
      row.read = [read_row = entry.read_row, i] { return read_row(i); };
      row.read_row = nullptr;
      insert_new(result, concat("Transformer/encoderblock_", i, "/", name.substr(stacked.size())),
                 row);
    }
  }
  return result;
}

// How one tensor of Flax becomes one of PyTorch; `name` is Flax's.
NamedTensor converted(const std::string& name, const NamedTensor& tensor) {
  const std::vector<int64_t>& shape = tensor.shape;
  const auto is = [&](const char* ending, int64_t dims) {
    return name.ends_with(ending) && tensor.dim() == dims;
  };
  if (is("embedding/kernel", 4)) {
    return changed(tensor, {shape[3], shape[2], shape[0], shape[1]}, [](const at::Tensor& value) {
      return value.permute({3, 2, 0, 1});
    });
  }
  // [D, heads, head_dim] -> [heads * head_dim, D]
  if (is("query/kernel", 3) || is("key/kernel", 3) || is("value/kernel", 3)) {
    return changed(tensor, {shape[1] * shape[2], shape[0]},
                   [](const at::Tensor& value) { return value.flatten(1).t(); });
  }
  // [heads, head_dim, D] -> [D, heads * head_dim]
  if (is("out/kernel", 3)) {
    return changed(tensor, {shape[2], shape[0] * shape[1]},
                   [](const at::Tensor& value) { return value.flatten(0, 1).t(); });
  }
  if (is("query/bias", 2) || is("key/bias", 2) || is("value/bias", 2)) {
    return changed(tensor, {shape[0] * shape[1]},
                   [](const at::Tensor& value) { return value.flatten(); });
  }
  if (is("/kernel", 2)) {
    return changed(tensor, {shape[1], shape[0]}, [](const at::Tensor& value) { return value.t(); });
  }
  return tensor;
}

const Replacements& names() {
  static const Replacements kNames = {
      {"embedding/", "patch_embed.proj."},
      {"Transformer/posembed_input/pos_embedding", "pos_embed"},
      {"pos_embedding", "pos_embed"},
      {"Transformer/encoder_norm/", "norm."},
      {"Transformer/encoderblock_", "blocks."},
      {"/MultiHeadDotProductAttention_0/", ".attn."},
      {"/MultiHeadDotProductAttention_1/", ".attn."},
      {".attn.query/", ".attn.q."},
      {".attn.key/", ".attn.k."},
      {".attn.value/", ".attn.v."},
      {".attn.out/", ".attn.proj."},
      {"/LayerNorm_0/", ".norm1."},
      {"/LayerNorm_1/", ".norm2."},  // big_vision
      {"/LayerNorm_2/", ".norm2."},  // vision_transformer
      {"/MlpBlock_0/", ".mlp."},
      {"/MlpBlock_3/", ".mlp."},
      {".mlp.Dense_0/", ".mlp.fc1."},
      {".mlp.Dense_1/", ".mlp.fc2."},
      {".kernel", ".weight"},
      {".scale", ".weight"},
  };
  return kNames;
}

// What this name, which is canonical or a part of a fused one, is in the flavour of the file.
std::string file_name(const StateDict& tensors, const std::string& name) {
  const bool first_vits =
      any_name_has(tensors, "/MlpBlock_3/") || any_name_has(tensors, "/LayerNorm_2/");
  if (name == "cls_token") return "cls";
  if (name == "pos_embed") {
    return first_vits ? "Transformer/posembed_input/pos_embedding" : "pos_embedding";
  }
  const std::string attention =
      first_vits ? "MultiHeadDotProductAttention_1/" : "MultiHeadDotProductAttention_0/";
  const std::string mlp = first_vits ? "MlpBlock_3/" : "MlpBlock_0/";
  const std::pair<std::string, std::string> parts[] = {
      {"patch_embed.proj", "embedding"}, {"norm", "Transformer/encoder_norm"},
      {"norm1", "LayerNorm_0"},          {"norm2", first_vits ? "LayerNorm_2" : "LayerNorm_1"},
      {"attn.q", attention + "query"},   {"attn.k", attention + "key"},
      {"attn.v", attention + "value"},   {"attn.qkv", attention + "query"},
      {"attn.proj", attention + "out"},  {"mlp.fc1", mlp + "Dense_0"},
      {"mlp.fc2", mlp + "Dense_1"}};
  std::string block, part = name.substr(0, name.rfind('.'));
  if (part.starts_with("blocks.")) {
    const size_t end = part.find('.', 7);
    const bool stacked = any_name_has(tensors, "Transformer/encoderblock/");
    block = "Transformer/encoderblock" + (stacked ? "" : "_" + part.substr(7, end - 7)) + "/";
    part = part.substr(end + 1);
  }
  for (const auto& [canonical, flax] : parts) {
    if (part != canonical) continue;
    const char* weight = part.starts_with("norm") ? "/scale" : "/kernel";
    return block + flax + (name.ends_with(".bias") ? "/bias" : weight);
  }
  return name;
}

void add_hints(const StateDict& flax, CanonicalCheckpoint& checkpoint) {
  ArchitectureHints& hints = checkpoint.hints;
  const auto query =
      flax.find("Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel");
  const auto query_1 =
      flax.find("Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel");
  for (const auto& found : {query, query_1}) {
    if (found != flax.end() && found->second.dim() == 3) hints.heads = found->second.shape[1];
  }
  const bool tanh = is_tanh_siglip(checkpoint.tensors);
  hints.source = "what timm does with these files; JAX trained them with gelu-tanh";
  hints.activation = tanh ? Activation::kGeluTanh : Activation::kGelu;
  hints.norm_eps = 1e-6;
  // Google's own programs resample as kBigVision does.
  hints.pos_embed = PosEmbedMode::kTimmNpz;
  hints.patch_resampling = PatchResampling::kBilinear;
  if (!tanh) hints.assumed = {"activation"};
  hints.assumed.insert("pos_embed");
  set_half_statistics(hints);
}

CanonicalCheckpoint convert(const StateDict& tensors) {
  const StateDict flax = unstacked(tensors);
  CanonicalCheckpoint checkpoint;
  for (const auto& [name, entry] : flax) checkpoint.tensors[name] = converted(name, entry);
  checkpoint.has_all_biases = true;
  // Attention pooling takes the place of the cls token.
  if (any_name_has(flax, "MAPHead_0/")) checkpoint.hints.has_cls_token = false;
  ignore(checkpoint.tensors, checkpoint.ignored,
         {{"head/", "classification head"},
          {"pre_logits/", "classification head"},
          {"MAPHead_0/", "attention pooling"}});
  checkpoint.tensors = renamed(checkpoint.tensors, names());
  if (auto cls = checkpoint.tensors.extract("cls")) {
    cls.key() = "cls_token";
    checkpoint.tensors.insert(std::move(cls));
  }
  fuse_rows(checkpoint.tensors, ".attn.", {"q", "k", "v"}, "qkv");
  add_hints(flax, checkpoint);
  return checkpoint;
}

}  // namespace

Family google_family() {
  return {"google",
          "Google vision_transformer or big_vision",
          {"embedding/kernel"},
          applies,
          convert,
          nullptr,
          nullptr,
          file_name};
}

}  // namespace last
