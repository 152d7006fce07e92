#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/feature_store/reader.h"

namespace last {

// The pictures that `extractor run --thumbnails` keeps in feature stores, found by the paths of
// their images. Stores that are no longer where a run's config.json names them, that hold other
// data now, or that have no pictures are left out; so is a path that stands in them twice.
class Thumbnails {
 public:
  // The stores that the run's predictions are about: "test", or "val" (cut from "train" with
  // --val-fraction).
  Thumbnails(const nlohmann::json& config, const std::string& data);

  // A picture as data:image/png;base64,..; empty where there is none. A damaged one is left out
  // with a warning: the report is about more than its pictures.
  std::string data_uri(const std::string& path) const;

 private:
  void add_store(const std::string& path, const std::string& content_sha256);

  struct Place {
    std::shared_ptr<const FeatureStoreReader> reader;  // null: the path is not unique
    int64_t row = 0;
  };
  std::map<std::string, Place> place_of_;
};

// RGB pixels, uint8 [height, width, 3], as a PNG file.
std::string png_file(const at::Tensor& pixels);

}  // namespace last
