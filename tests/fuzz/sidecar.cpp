// Input: config.json beside a checkpoint, a zero byte, preprocessor_config.json.

#include "common/io/file.h"
#include "extractor/backbone/architecture.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace last;
  static const fuzz::Folder folder;
  std::string_view rest = fuzz::text_of(data, size);
  write_file_atomically(folder / "config.json", std::string(fuzz::take_part(&rest)));
  if (rest.empty()) {
    std::filesystem::remove(folder / "preprocessor_config.json");
  } else {
    write_file_atomically(folder / "preprocessor_config.json", std::string(rest));
  }
  fuzz::expect_result_or_error([&] { read_sidecar_files(folder / "model.safetensors"); });
  return 0;
}
