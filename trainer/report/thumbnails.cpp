#include "trainer/report/thumbnails.h"

#include <png.h>

#include "common/cli/log.h"
#include "common/error.h"
#include "trainer/report/page/page.h"

namespace last {

Thumbnails::Thumbnails(const nlohmann::json& config, const std::string& data) {
  try {
    const auto& machine = config.at("machine");
    const bool split = data == "val" && machine.at("val").empty();
    const std::string role = split ? "train" : data;
    const auto& paths = machine.at(role);
    const auto& stores = config.at("data").at(role);
    for (size_t i = 0; i < paths.size() && i < stores.size(); ++i) {
      add_store(paths[i].get<std::string>(), stores[i].at("content_sha256").get<std::string>());
    }
  } catch (const nlohmann::json::exception&) {
    // A configuration that names no stores: then there are no pictures.
  }
}

void Thumbnails::add_store(const std::string& path, const std::string& content_sha256) {
  if (!feature_store_exists(path)) return;
  std::shared_ptr<const FeatureStoreReader> reader;
  try {
    reader = std::make_shared<FeatureStoreReader>(path);
    if (reader->manifest().thumbnail_size == 0 || reader->content_sha256() != content_sha256)
      return;
  } catch (const Error& error) {
    log_warning(concat("no pictures from \"", path, "\": ", error.what()));
    return;
  }
  for (const int64_t row : reader->stored_rows()) {
    if (reader->manifest().views[static_cast<size_t>(row)] != 0) continue;
    const auto& id = reader->manifest().sample_ids[static_cast<size_t>(row)];
    const auto [place, added] = place_of_.insert({id, {reader, row}});
    if (!added) place->second.reader = nullptr;
  }
}

std::string Thumbnails::data_uri(const std::string& path) const {
  const auto found = place_of_.find(path);
  if (found == place_of_.end() || found->second.reader == nullptr) return "";
  try {
    const auto file = png_file(found->second.reader->thumbnail(found->second.row));
    return "data:image/png;base64," +
           base64({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
  } catch (const Error& error) {
    log_warning(concat("no picture of \"", path, "\": ", error.what()));
    return "";
  }
}

std::string png_file(const at::Tensor& pixels) {
  const auto contiguous = pixels.contiguous();
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(pixels.size(0));
  image.width = static_cast<png_uint_32>(pixels.size(1));
  image.format = PNG_FORMAT_RGB;
  const auto write = [&](void* memory, size_t& size) {
    if (png_image_write_to_memory(&image, memory, &size, /*convert_to_8bit=*/0,
                                  contiguous.const_data_ptr<uint8_t>(), /*row_stride=*/0,
                                  /*colormap=*/nullptr) == 0) {
      fail("can't encode a thumbnail: ", image.message);
    }
  };
  size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(size, '\0');
  write(file.data(), size);
  file.resize(size);
  return file;
}

}  // namespace last
