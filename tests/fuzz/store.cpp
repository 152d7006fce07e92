// Input: a byte that chooses a part of a store that we read ourselves, and what is to be read:
//   f  the last 512 bytes of a file, whose magic number and CRC are made right first
//   j  two configurations, separated by a zero byte, to be compared; the first goes into a manifest
//   n  names of files beside a store, separated by zero bytes
// Hostile HDF5 metadata behind a valid footer are out of scope (README, "Known limits").

#include <cstring>
#include <fstream>

#include "common/feature_store/footer.h"
#include "common/feature_store/manifest.h"
#include "common/feature_store/shard_files.h"
#include "common/io/checksum.h"
#include "common/io/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace last;

void read_as_footer(const fuzz::Folder& folder, std::string_view bytes) {
  constexpr size_t kContent = 2 * kFooterAlignment;
  std::string file(kContent + kFooterBytes, '\0');
  char* footer = file.data() + kContent;
  std::memcpy(footer, bytes.data(), std::min<size_t>(bytes.size(), kFooterBytes));
  std::memcpy(footer, "LASTFS\r\n", 8);
  const uint32_t crc = crc32c(footer, kFooterBytes - 4);
  std::memcpy(footer + kFooterBytes - 4, &crc, 4);
  write_file_atomically(folder / "a.h5", file);
  const File opened = File::open_read(folder / "a.h5");
  if (const auto found = read_footer(opened)) {
    if (found->hdf5_size > kContent || found->excluded.size() > kMaxExtents) __builtin_trap();
    check_content(opened, *found);
  }
}

void compare_configurations(std::string_view texts) {
  const auto first = nlohmann::json::parse(fuzz::take_part(&texts), nullptr, false);
  const auto second = nlohmann::json::parse(texts, nullptr, false);
  if (first.is_discarded()) return;
  if (!second.is_discarded() &&
      (first == second) != first_difference(first, second, "in the store", "now").empty()) {
    __builtin_trap();
  }
  if (!first.is_object() || !first.contains("features")) return;
  Manifest manifest;
  manifest.config = first;
  manifest.config_hash();
  to_json(manifest).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  check_manifest(manifest, "a.h5");
}

void read_names(const fuzz::Folder& folder, std::string_view names) {
  const std::string stores = folder / "stores";
  std::filesystem::remove_all(stores);
  std::filesystem::create_directories(stores);
  std::string first;
  for (int count = 0; !names.empty() && count < 20; ++count) {
    const std::string name(fuzz::take_part(&names));
    if (name.empty() || name.size() > 200 || name.find('/') != std::string::npos) continue;
    std::ofstream(stores + "/" + name);
    if (first.empty()) first = name;
  }
  for (const std::string& name : {first, base_path(first), std::string("a.h5")}) {
    const std::string path = stores + "/" + name;
    fuzz::expect_result_or_error([&] { find_shards(path); });
    fuzz::expect_result_or_error([&] { resolve_store(path); });
    fuzz::expect_result_or_error([&] { check_no_other_store(path, 3); });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const fuzz::Folder folder;
  const std::string_view rest = fuzz::text_of(data + 1, size - 1);
  fuzz::expect_result_or_error([&] {
    if (data[0] == 'f') read_as_footer(folder, rest);
    if (data[0] == 'j') compare_configurations(rest);
    if (data[0] == 'n') read_names(folder, rest);
  });
  return 0;
}
