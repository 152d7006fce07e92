#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/cli/option_parser.h"
#include "extractor/backbone/load.h"
#include "extractor/images/decode.h"
#include "extractor/images/preprocess.h"
#include "extractor/images/views.h"

namespace last {

// Options about the backbone, images and the device, shared by the commands that run a backbone.

class ModelOptions {
 public:
  void add(OptionParser& parser);
  BackboneOptions resolve(const Preprocessing& preprocessing) const;
  // Only --weights decides about the image size.
  BackboneOptions resolve() const;

 private:
  std::string weights_;
  BackboneOptions options_;
};

class ImageOptions {
 public:
  void add(OptionParser& parser);
  // Without defaults, for networks that tell what they need.
  void add_without_defaults(OptionParser& parser);
  // What can be checked without images or networks.
  void check() const;
  // All but mean and std; a UsageError where something can't be meant.
  Preprocessing resolve() const;
  // Likewise with what isn't given taken from `base`, mean and std included.
  Preprocessing resolve(const Preprocessing& base) const;
  // Fills in mean and std: the option, else what lies beside the weights, else with a notice
  // what the family usually has, else 0.5.
  void resolve_statistics(const Backbone& backbone, Preprocessing* preprocessing) const;

  const std::string& images() const { return images_; }
  uint64_t max_pixels() const;

 private:
  void apply_given(Preprocessing* preprocessing) const;

  std::string images_, resize_ = "224", crop_ = "none", interpolation_ = "bicubic", mean_, std_;
  int64_t max_pixels_ = static_cast<int64_t>(kDefaultMaxPixels);
};

class DeviceOptions {
 public:
  struct Resolved {
    c10::Device device = c10::kCPU;
    c10::ScalarType precision = c10::ScalarType::Float;
    int64_t batch_size = 32;
    int threads = 1;
    int decode_threads = 1;
  };

  void add(OptionParser& parser);
  // What can be checked without touching a device.
  void validate() const;
  // Also sets torch's number of threads. `recorded`: the precision that features were made in,
  // which auto repeats where the device is good at it.
  Resolved resolve(std::optional<c10::ScalarType> recorded = std::nullopt) const;

 private:
  std::string precision_ = "auto", device_ = "auto";
  int64_t batch_size_ = 32, threads_ = 0, decode_threads_ = 0;
};

}  // namespace last
