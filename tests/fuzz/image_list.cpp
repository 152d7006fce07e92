// Input: a list of images and labels. It is read as a plain list and as a CSV file.

#include "extractor/images/image_list.h"

#include "common/io/file.h"
#include "tests/fuzz/fuzz.h"

namespace {

void check(const last::ImageList& list) {
  if (list.paths.size() != list.ids.size()) __builtin_trap();
  for (const auto& column : list.labels) {
    if (column.labels.size() != list.ids.size()) __builtin_trap();
    for (const int32_t label : column.labels) {
      if (label < last::kUnlabelled || label > last::kMaxClassIndex) __builtin_trap();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace last;
  static const fuzz::Folder folder;
  for (const char* name : {"list.txt", "list.csv"}) {
    write_file_atomically(folder / name, std::string(fuzz::text_of(data, size)));
    fuzz::expect_result_or_error([&] { check(read_image_list(folder / name)); });
  }
  return 0;
}
