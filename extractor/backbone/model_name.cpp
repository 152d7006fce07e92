#include "extractor/backbone/model_name.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <vector>

#include "common/error.h"
#include "common/tensor_file/safetensors_header.h"
#include "extractor/backbone/state_dict.h"

namespace last {
namespace {

constexpr const char* kKinds[] = {"vit",      "deit", "deit3", "eva",
                                  "flexivit", "test", "eva02", "beit3"};

// The second part of a name, and the models of timm (1.0) that have it. A word may stand here
// several times.
struct NamedSize {
  const char* word;
  int64_t dim, depth;
};
constexpr NamedSize kNamedSizes[] = {
    {"tiny", 192, 12},       {"xsmall", 256, 10},  {"small", 384, 12},     {"small", 384, 36},
    {"base", 768, 12},       {"base", 896, 12},    {"large", 1024, 24},    {"huge", 1280, 32},
    {"giant", 1408, 40},     {"giant", 1536, 40},  {"giantopt", 1536, 40}, {"gigantic", 1664, 48},
    {"enormous", 1792, 64},  {"medium", 512, 12},  {"mediumd", 512, 20},   {"wee", 256, 14},
    {"dwee", 256, 14},       {"little", 320, 14},  {"dlittle", 320, 14},   {"betwixt", 640, 12},
    {"so150m", 896, 18},     {"so150m2", 832, 21}, {"so400m", 1152, 27},   {"7b", 4096, 40},
    {"vit", 64, 6},          {"vit2", 64, 8},      {"vit3", 96, 9},        {"vit4", 96, 9},
    {"intern300m", 1024, 24}};

// The further parts, besides numbers, patchN and regN.
constexpr const char* kParts[] = {"clip",      "clsgap", "cls",     "dinov2",   "dinov3",
                                  "distilled", "gap",    "lingbot", "map",      "miil",
                                  "plus",      "qkvb",   "rpn",     "siglip",   "p8",
                                  "36x1",      "tipsv2", "xp",      "quickgelu"};

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  std::istringstream stream(name.substr(0, name.find('.')));  // base_patch16_224.augreg_in21k
  for (std::string part; std::getline(stream, part, '_');) parts.push_back(part);
  return parts;
}

bool is_number(const std::string& text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool is_known_part(const std::string& part) {
  for (const std::string start : {"", "patch", "reg"}) {
    if (part.starts_with(start) && is_number(part.substr(start.size()))) return true;
  }
  return std::ranges::find(kParts, part) != std::end(kParts);
}

[[noreturn]] void refuse(const std::string& name, const std::string& part,
                         const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(part, known);
  fail_usage("--model ", quoted_name(name), ": no known architecture has ", quoted_name(part),
             " in its name", nearest.empty() ? "" : " (did you mean " + nearest + "?)",
             "; auto, or leaving --model away, takes what the weights and the files beside them "
             "tell");
}

}  // namespace

void check_model_name(const std::string& name) {
  const std::vector<std::string> parts = split(name);
  std::vector<std::string> starts;
  for (const char* kind : kKinds) {
    for (const NamedSize& size : kNamedSizes) {
      const bool is_test = std::string(size.word).starts_with("vit");
      if (is_test == (kind == std::string("test"))) starts.push_back(concat(kind, "_", size.word));
    }
  }
  const std::string start = parts.size() < 2 ? name : concat(parts[0], "_", parts[1]);
  if (std::ranges::find(starts, start) == starts.end()) refuse(name, start, starts);
  for (size_t i = 2; i < parts.size(); ++i) {
    if (is_known_part(parts[i])) continue;
    std::vector<std::string> known(std::begin(kParts), std::end(kParts));
    for (const char* patch : {"patch8", "patch14", "patch16", "patch32", "reg1", "reg4"}) {
      known.emplace_back(patch);
    }
    refuse(name, parts[i], known);
  }
}

void check_model_size(const std::string& name, int64_t dim, int64_t depth) {
  const std::vector<std::string> parts = split(name);
  std::string expected;
  for (const NamedSize& size : kNamedSizes) {
    if (parts.size() < 2 || parts[1] != size.word) continue;
    if (size.dim == dim && size.depth == depth) return;
    expected +=
        concat(expected.empty() ? "" : " or ", size.dim, " channels and ", size.depth, " blocks");
  }
  fail_usage("--model ", quoted_name(name), " has ", expected, ", the weights have ", dim,
             " channels and ", depth,
             " blocks; auto, or leaving --model away, takes what they and "
             "the files beside them tell");
}

}  // namespace last
