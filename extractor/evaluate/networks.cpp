#include "extractor/evaluate/networks.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "common/error.h"
#include "common/tensor_file/safetensors.h"

namespace last {
namespace {

namespace fs = std::filesystem;

constexpr char kSuffix[] = ".safetensors";

// networks/7.safetensors before networks/10.safetensors.
bool in_order(const fs::path& a, const fs::path& b) {
  const std::string x = a.stem().string(), y = b.stem().string();
  const auto is_number = [](const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  };
  if (is_number(x) && is_number(y) && x.size() != y.size()) return x.size() < y.size();
  return x < y;
}

// The files PREFIX*.safetensors of a folder; none where it is missing.
std::vector<fs::path> files_in(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> files;
  std::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    const auto& path = at->path();
    if (path.extension() == kSuffix && path.filename().string().starts_with(prefix)) {
      files.push_back(path);
    }
  }
  if (code && code != std::errc::no_such_file_or_directory) {
    fail("--networks: can't read \"", folder.string(), "\": ", code.message());
  }
  std::ranges::sort(files, in_order);
  return files;
}

std::vector<fs::path> networks_of_run(const std::string& run) {
  auto files = files_in(fs::path(run) / "networks", "");
  if (files.empty()) {
    fail("--networks: \"", run, "\" holds no networks/*", kSuffix,
         ": a finished run directory of the trainer, or a network's file, is expected");
  }
  const auto ensembles = files_in(run, "ensemble.");
  files.insert(files.end(), ensembles.begin(), ensembles.end());
  return files;
}

Bundle load_written_bundle(const std::string& path) {
  if (!SafetensorsFile(path).has_checksum()) {
    fail("\"", path, "\" is no network of trainer (it has no checksum, or it is damaged): ",
         "--networks takes what trainer run or export wrote");
  }
  return load_bundle(path);
}

std::string stem(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(kSuffix) ? name.substr(0, name.size() - sizeof kSuffix + 1) : name;
}

// In a run the number alone would say nothing of the run: RUN/7 for RUN/networks/7.safetensors.
std::string long_name(const fs::path& path) {
  fs::path folder = path.parent_path();
  if (folder.filename() == "networks") folder = folder.parent_path();
  return (folder / stem(path)).string();
}

}  // namespace

std::string NamedBundle::class_text(int64_t index) const {
  const auto& names = bundle.members.front().class_names;
  return names.empty() ? std::to_string(index) : names[static_cast<size_t>(index)];
}

std::vector<NamedBundle> load_networks(const std::vector<std::string>& files_or_runs) {
  std::vector<fs::path> paths;
  for (const std::string& name : files_or_runs) {
    if (fs::is_directory(name)) {
      const auto files = networks_of_run(name);
      paths.insert(paths.end(), files.begin(), files.end());
    } else {
      paths.emplace_back(name);
    }
  }
  std::set<fs::path> seen;
  std::map<std::string, int> uses;
  for (const fs::path& path : paths) {
    std::error_code ignored;
    if (!seen.insert(fs::weakly_canonical(path, ignored)).second) {
      fail_usage("--networks: \"", path.string(), "\" is named twice");
    }
    ++uses[stem(path)];
  }
  std::vector<NamedBundle> networks;
  for (const fs::path& path : paths) {
    const std::string name = uses[stem(path)] > 1 ? long_name(path) : stem(path);
    networks.push_back({name, path.string(), load_written_bundle(path.string())});
  }
  return networks;
}

}  // namespace last
