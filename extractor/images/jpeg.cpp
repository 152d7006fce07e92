#include "extractor/images/jpeg.h"

#include <csetjmp>
#include <cstdio>
#include <new>
#include <string>

#include <jerror.h>
#include <jpeglib.h>

#include "extractor/images/bad_image.h"
#include "extractor/images/decode.h"

namespace last {
namespace {

// A scan of a few hundred bytes can touch every coefficient of a large image, so that a small file
// could keep the decoder busy for hours. Encoders write a dozen scans.
constexpr int kMaxScans = 100;

enum class Outcome { kDone, kTruncated, kBroken, kNoMemory };

struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, manager->message);
  std::longjmp(manager->jump, 1);
}

void on_message(j_common_ptr) {}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(manager->message, sizeof manager->message, "more than %d scans", kMaxScans);
  std::longjmp(manager->jump, 1);
}

void do_nothing(j_decompress_ptr) {}

// The whole file is in the buffer from the start, so asking for more means that it is truncated:
// refusing suspends the decoder, and its calls say so.
boolean refuse_more_input(j_decompress_ptr) { return FALSE; }

void skip_input(j_decompress_ptr info, long count) {  // NOLINT(google-runtime-int): libjpeg's type
  if (count <= 0) return;
  const size_t skipped = std::min(static_cast<size_t>(count), info->src->bytes_in_buffer);
  info->src->next_input_byte += skipped;
  info->src->bytes_in_buffer -= skipped;
}

// libjpeg reports errors by longjmp, so the functions that call it hold no object with a
// destructor.
class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> bytes) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = on_error;
    errors_.base.output_message = on_message;
    errors_.message[0] = '\0';
    progress_.progress_monitor = on_progress;
    source_.init_source = do_nothing;
    source_.fill_input_buffer = refuse_more_input;
    source_.skip_input_data = skip_input;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = do_nothing;
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
  }
  ~Decoder() { jpeg_destroy_decompress(&info_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Outcome read_header() {
    if (setjmp(errors_.jump) != 0) return failure();
    jpeg_create_decompress(&info_);
    info_.src = &source_;
    info_.progress = &progress_;
    int status = JPEG_HEADER_TABLES_ONLY;
    while (status == JPEG_HEADER_TABLES_ONLY) status = jpeg_read_header(&info_, FALSE);
    return status == JPEG_SUSPENDED ? Outcome::kTruncated : Outcome::kDone;
  }

  // Rows of output_components() bytes per pixel.
  Outcome read_rows(uint8_t* pixels, size_t row_bytes) {
    if (setjmp(errors_.jump) != 0) return failure();
    info_.out_color_space = info_.num_components == 1   ? JCS_GRAYSCALE
                            : info_.num_components == 3 ? JCS_RGB
                                                        : JCS_CMYK;
    if (jpeg_start_decompress(&info_) == FALSE) return Outcome::kTruncated;
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = pixels + info_.output_scanline * row_bytes;
      if (jpeg_read_scanlines(&info_, &row, 1) != 1) return Outcome::kTruncated;
    }
    return Outcome::kDone;
  }

  int components() const { return info_.num_components; }
  uint64_t width() const { return info_.image_width; }
  uint64_t height() const { return info_.image_height; }
  const char* message() const { return errors_.message; }

 private:
  // A lack of memory says nothing about the image.
  Outcome failure() const {
    return errors_.base.msg_code == JERR_OUT_OF_MEMORY ? Outcome::kNoMemory : Outcome::kBroken;
  }

  jpeg_decompress_struct info_ = {};
  ErrorManager errors_ = {};
  jpeg_source_mgr source_ = {};
  jpeg_progress_mgr progress_ = {};
};

void check(Outcome outcome, const Decoder& decoder) {
  if (outcome == Outcome::kNoMemory) throw std::bad_alloc();
  if (outcome == Outcome::kTruncated) {
    throw BadImage("the JPEG is truncated: its data end before the last row");
  }
  if (outcome == Outcome::kBroken) throw BadImage(concat("broken JPEG: ", decoder.message()));
}

// round(a * b / 255) for bytes
uint32_t multiply_255(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

// Adobe's files store inverted ink, and PIL takes every CMYK JPEG for one of them. With C', K' the
// stored bytes, C = 255 - C' and R = K' - C K' / 255, clipped.
cv::Mat cmyk_to_rgb(const cv::Mat& cmyk) {
  cv::Mat rgb(cmyk.rows, cmyk.cols, CV_8UC3);
  for (int y = 0; y < cmyk.rows; ++y) {
    const uint8_t* in = cmyk.ptr(y);
    uint8_t* out = rgb.ptr(y);
    for (int x = 0; x < cmyk.cols; ++x, in += 4, out += 3) {
      const uint32_t white = in[3];
      for (int c = 0; c < 3; ++c) {
        const uint32_t ink = multiply_255(255U - in[c], white);
        out[c] = static_cast<uint8_t>(white > ink ? white - ink : 0);
      }
    }
  }
  return rgb;
}

cv::Mat gray_to_rgb(const cv::Mat& gray) {
  cv::Mat rgb;
  const cv::Mat channels[] = {gray, gray, gray};
  cv::merge(channels, 3, rgb);
  return rgb;
}

}  // namespace

cv::Mat decode_jpeg(std::span<const uint8_t> bytes, uint64_t max_pixels) {
  Decoder decoder(bytes);
  check(decoder.read_header(), decoder);
  check_pixel_count(decoder.width(), decoder.height(), max_pixels);
  const int components = decoder.components();
  if (components != 1 && components != 3 && components != 4) {
    throw BadImage(concat("a JPEG of ", components, " components; 1, 3 or 4 are known"));
  }
  cv::Mat pixels(static_cast<int>(decoder.height()), static_cast<int>(decoder.width()),
                 CV_8UC(components));
  check(decoder.read_rows(pixels.data, pixels.step), decoder);
  if (components == 1) return gray_to_rgb(pixels);
  if (components == 4) return cmyk_to_rgb(pixels);
  return pixels;
}

}  // namespace last
