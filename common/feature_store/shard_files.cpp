#include "common/feature_store/shard_files.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>

#include "common/error.h"

namespace last {
namespace {

namespace fs = std::filesystem;

constexpr char kExtension[] = ".h5";
constexpr char kPartial[] = ".partial";
constexpr size_t kSuffixLength = 15;  // .00001-of-00004

std::string without(std::string text, const std::string& ending) {
  if (text.ends_with(ending)) text.resize(text.size() - ending.size());
  return text;
}

std::optional<int64_t> parse_five_digits(const std::string& text) {
  if (text.size() != 5 || text.find_first_not_of("0123456789") != std::string::npos) return {};
  return std::stoll(text);
}

// Splits N.00001-of-00004.h5 (with or without .partial); nothing where the name is not of that
// form.
std::optional<ShardFile> parse_shard(const std::string& path) {
  ShardFile shard{path, 0, 1, path.ends_with(kPartial)};
  const std::string stem = without(without(path, kPartial), kExtension);
  if (stem.size() <= kSuffixLength) return std::nullopt;
  const std::string suffix = stem.substr(stem.size() - kSuffixLength);
  const auto index = parse_five_digits(suffix.substr(1, 5));
  const auto count = parse_five_digits(suffix.substr(10, 5));
  if (suffix[0] != '.' || suffix.substr(6, 4) != "-of-" || !index || !count) return std::nullopt;
  if (*index >= *count) return std::nullopt;
  shard.index = *index;
  shard.count = *count;
  return shard;
}

[[noreturn]] void fail_absent(const std::string& path) {
  if (fs::exists(path + kPartial)) {
    fail("\"", path, "\" is unfinished (\"", path, kPartial,
         "\" is there): run the same extractor command again, it resumes");
  }
  fail("no feature store \"", path, "\", and no shards of it: make it with extractor run --cache");
}

}  // namespace

std::string shard_path(const std::string& path, int64_t index, int64_t count) {
  if (count <= 1) return path;
  char suffix[48];
  std::snprintf(suffix, sizeof suffix, ".%05lld-of-%05lld", static_cast<long long>(index),
                static_cast<long long>(count));
  return without(path, kExtension) + suffix + kExtension;
}

std::vector<ShardFile> find_shards(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  const std::string stem = without(fs::path(path).filename().string(), kExtension);
  std::vector<ShardFile> shards;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(stem)) continue;
    auto shard = parse_shard((folder / name).string());
    if (!shard) continue;
    const std::string expected =
        shard_path((folder / (stem + kExtension)).string(), shard->index, shard->count);
    if (without(shard->path, kPartial) == expected) shards.push_back(std::move(*shard));
  }
  std::ranges::sort(shards, {}, &ShardFile::path);
  return shards;
}

std::string base_path(const std::string& path) {
  if (!parse_shard(path)) return path;
  const std::string stem = without(path, kExtension);
  return stem.substr(0, stem.size() - kSuffixLength) + kExtension;
}

std::vector<std::string> resolve_store(const std::string& path) {
  const std::vector<ShardFile> shards = find_shards(path);
  if (fs::exists(path)) {
    if (!shards.empty()) {
      fail("both \"", path, "\" and \"", shards[0].path,
           "\" are there: which one is meant? Remove or rename one of them");
    }
    return {path};
  }
  if (shards.empty()) fail_absent(path);
  for (const ShardFile& shard : shards) {
    if (shard.count != shards[0].count) {
      fail("shards of two stores: \"", shards[0].path, "\" and \"", shard.path,
           "\"; remove one of the sets");
    }
  }
  std::vector<std::string> files;
  for (int64_t i = 0; i < shards[0].count; ++i) {
    files.push_back(shard_path(path, i, shards[0].count));
    if (fs::exists(files.back())) continue;
    const bool partial = fs::exists(files.back() + kPartial);
    fail("shard ", i, " of ", shards[0].count, " is ", partial ? "unfinished" : "missing", ": \"",
         files.back(), "\"; run extractor with --shard ", i, "/", shards[0].count,
         partial ? " again, it resumes" : "");
  }
  return files;
}

void check_no_other_store(const std::string& path, int64_t shard_count) {
  const std::string base = base_path(path);
  if (shard_count > 1 && base != path && fs::exists(base)) {
    fail("\"", base,
         "\" is there already: shards beside it would be ambiguous; remove or rename it");
  }
  for (const ShardFile& shard : find_shards(base)) {
    if (shard.count == shard_count) continue;
    fail("\"", shard.path, "\" is there, cut in ", shard.count, ", and this run makes ",
         shard_count == 1 ? "one file" : concat(shard_count, " shards"),
         ": remove the old files or choose another --cache");
  }
}

}  // namespace last
