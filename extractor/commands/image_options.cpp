#include "extractor/commands/image_options.h"

#include <algorithm>

#include <boost/program_options/value_semantic.hpp>

#include "common/cli/device.h"
#include "common/cli/log.h"
#include "common/cli/parse.h"
#include "common/error.h"
#include "common/feature_store/manifest.h"

namespace po = boost::program_options;

namespace last {
namespace {

constexpr int64_t kMaxBatchSize = 65536;

template <class T>
auto* with_default(T* target, const char* unit) {
  return po::value(target)->default_value(*target)->value_name(unit);
}

std::array<float, 3> parse_channels(const std::string& option, const std::string& text) {
  const std::vector<double> values = parse_numbers(option, text);
  if (values.size() != 3) fail_usage(option, " ", text, ": three numbers are expected, R,G,B");
  return {static_cast<float>(values[0]), static_cast<float>(values[1]),
          static_cast<float>(values[2])};
}

std::array<float, 3> to_float(const std::array<double, 3>& values) {
  return {static_cast<float>(values[0]), static_cast<float>(values[1]),
          static_cast<float>(values[2])};
}

}  // namespace

void ModelOptions::add(OptionParser& parser) {
  parser.group("Backbone")
      .add_options()  //
      ("weights", po::value(&weights_)->value_name("FILE"), "checkpoint of the ViT (required)")(
          "model", with_default(&options_.model, "NAME"),
          "checkpoint family or timm architecture; auto: recognised by its tensors")(
          "heads", with_default(&options_.heads, "N"),
          "attention heads; 0: from config.json or the published model")(
          "activation", with_default(&options_.activation, "NAME"),
          "auto | gelu | gelu-tanh | quick-gelu")(
          "norm-eps", with_default(&options_.norm_eps, "X"),
          "epsilon of the blocks' norms; 0: stated or the family's")(
          "patch-size", with_default(&options_.patch_size, "N|WxH"),
          "in pixels; another size than the checkpoint's resamples its patch embedding "
          "(FlexiViT)")(
          "pos-embed", with_default(&options_.pos_embed, "NAME"),
          "how position embeddings are resampled: auto | timm | dino | transformers | big-vision | "
          "timm-npz | torchvision");
}

BackboneOptions ModelOptions::resolve() const {
  if (weights_.empty()) fail_usage("--weights FILE is missing");
  BackboneOptions options = options_;
  if (!(options.norm_eps >= 0 && options.norm_eps < 1)) {
    fail_usage("--norm-eps ", options.norm_eps, ": a number of at least 0 and below 1 is expected");
  }
  options.weights = weights_;
  options.strict_model = true;
  return options;
}

BackboneOptions ModelOptions::resolve(const Preprocessing& preprocessing) const {
  BackboneOptions options = resolve();
  options.image_height = preprocessing.height;
  options.image_width = preprocessing.width;
  return options;
}

void ImageOptions::add(OptionParser& parser) {
  parser.group("Images").add_options()  //
      ("images", po::value(&images_)->value_name("LIST_OR_DIR"),
       "list of `path label` lines, .csv, or folder of class folders (required)")(
          "resize", with_default(&resize_, "N|WxH"),
          "size that the network sees, in pixels; not taken from the model")(
          "crop", with_default(&crop_, "none|center:S"),
          "none: straight to that size; center:S: shorter side to S, then the centre")(
          "interpolation", with_default(&interpolation_, "NAME"), "bicubic | bilinear")(
          "mean", po::value(&mean_)->value_name("R,G,B"),
          "subtracted from channels in 0..1 (default: from the files beside the weights, else the "
          "family's, else 0.5)")("std", po::value(&std_)->value_name("R,G,B"),
                                 "then divided by this (default: likewise)")(
          "max-pixels", with_default(&max_pixels_, "N"), "larger images are bad images");
}

void ImageOptions::add_without_defaults(OptionParser& parser) {
  resize_ = crop_ = interpolation_ = "";
  parser.group("Images (the networks tell all but the first; what differs is refused)")
      .add_options()  //
      ("images", po::value(&images_)->value_name("LIST_OR_DIR"),
       "list of `path label` lines, .csv, or folder of class folders; labels are optional "
       "(required)")("resize", po::value(&resize_)->value_name("N|WxH"),
                     "size that the network sees, in pixels")(
          "crop", po::value(&crop_)->value_name("none|center:S"),
          "none: straight to that size; center:S: shorter side to S, then the centre")(
          "interpolation", po::value(&interpolation_)->value_name("NAME"), "bicubic | bilinear")(
          "mean", po::value(&mean_)->value_name("R,G,B"), "subtracted from channels in 0..1")(
          "std", po::value(&std_)->value_name("R,G,B"), "then divided by this")(
          "max-pixels", with_default(&max_pixels_, "N"), "larger images are bad images");
}

Preprocessing ImageOptions::resolve() const {
  check();
  Preprocessing preprocessing;
  apply_given(&preprocessing);
  return preprocessing;
}

Preprocessing ImageOptions::resolve(const Preprocessing& base) const {
  Preprocessing preprocessing = base;
  apply_given(&preprocessing);
  return preprocessing;
}

void ImageOptions::apply_given(Preprocessing* preprocessing) const {
  if (!resize_.empty()) parse_resize(resize_, preprocessing);
  if (!crop_.empty()) parse_crop(crop_, preprocessing);
  if (!interpolation_.empty()) preprocessing->interpolation = parse_interpolation(interpolation_);
  if (!mean_.empty()) preprocessing->mean = parse_channels("--mean", mean_);
  if (!std_.empty()) preprocessing->std = parse_channels("--std", std_);
  for (size_t i = 0; i < preprocessing->mean.size(); ++i) {
    const float mean = preprocessing->mean[i], std = preprocessing->std[i];
    if (!mean_.empty() && !(mean >= 0.0F && mean <= 1.0F)) {
      fail_usage("--mean ", mean_, ": numbers in 0..1 are expected, as channels are");
    }
    if (!std_.empty() && !(std > 0.0F && std <= 1.0F)) {
      fail_usage("--std ", std_,
                 ": positive numbers up to 1 are expected, as channels are in 0..1");
    }
  }
  preprocessing->validate();
}

void ImageOptions::check() const {
  if (images_.empty()) fail_usage("--images LIST_OR_DIR is missing");
  if (max_pixels_ < 1) fail_usage("--max-pixels ", max_pixels_, ": at least 1 is expected");
}

void ImageOptions::resolve_statistics(const Backbone& backbone,
                                      Preprocessing* preprocessing) const {
  if (!mean_.empty() && !std_.empty()) return;
  const std::string what = mean_.empty() && std_.empty() ? "mean and std"
                           : mean_.empty()               ? "the mean"
                                                         : "the std";
  if (!backbone.image_statistics) {
    log_info(concat("nothing beside the weights states ", what,
                    ": taking 0.5 (--mean and --std change it)"));
    return;
  }
  if (!backbone.image_statistics->is_stated) {
    log_info(concat("nothing beside the weights states ", what, ": taking what is usual for ",
                    backbone.image_statistics->source, " (--mean and --std change it)"));
  }
  if (mean_.empty()) preprocessing->mean = to_float(backbone.image_statistics->mean);
  if (std_.empty()) preprocessing->std = to_float(backbone.image_statistics->std);
}

uint64_t ImageOptions::max_pixels() const { return static_cast<uint64_t>(max_pixels_); }

void DeviceOptions::add(OptionParser& parser) {
  parser.group("Computing")
      .add_options()  //
      ("device", with_default(&device_, "NAME"), "auto | cpu | cuda | cuda:N")(
          "precision", with_default(&precision_, "NAME"),
          "of matrix products: fp32 | bf16 | fp16; auto: fp32, or what the networks' features were "
          "made with (evaluate)")("batch-size", with_default(&batch_size_, "N"),
                                  "rows per forward pass")("threads", with_default(&threads_, "N"),
                                                           "for computing; 0: all processors")(
          "decode-threads", with_default(&decode_threads_, "N"),
          "for images; 0: all processors beside a GPU, a quarter of them without");
}

void DeviceOptions::validate() const {
  if (batch_size_ < 1 || batch_size_ > kMaxBatchSize) {
    fail_usage("--batch-size ", batch_size_, ": 1 to ", kMaxBatchSize, " is expected");
  }
  if (decode_threads_ < 0 || decode_threads_ > 1024) {
    fail_usage("--decode-threads ", decode_threads_, ": 0 to 1024 is expected");
  }
  if (precision_ != "auto" && precision_ != "fp32" && precision_ != "bf16" &&
      precision_ != "fp16") {
    fail_usage("--precision ", precision_, ": auto, fp32, bf16 or fp16 is expected");
  }
}

DeviceOptions::Resolved DeviceOptions::resolve(std::optional<c10::ScalarType> recorded) const {
  validate();
  Resolved resolved;
  resolved.device = resolve_device(device_);
  resolved.threads = configure_threads(threads_);
  resolved.batch_size = batch_size_;
  const bool gpu = resolved.device.is_cuda();
  resolved.precision = c10::ScalarType::Float;
  if (precision_ != "auto") {
    resolved.precision = parse_dtype(precision_, "--precision");
  } else if (recorded && (gpu || recorded != c10::ScalarType::Half)) {
    resolved.precision = *recorded;
  }
  const std::string precision = dtype_name(resolved.precision);
  const int processors = available_processors();
  resolved.decode_threads = decode_threads_ > 0 ? static_cast<int>(decode_threads_)
                            : gpu               ? processors
                                                : std::max(1, processors / 4);
  log_info(concat("computing in ", precision, " on ",
                  describe_device(resolved.device, resolved.threads)));
  return resolved;
}

}  // namespace last
