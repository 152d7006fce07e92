#include "extractor/images/png.h"

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <new>
#include <png.h>
#include <string>

#include "extractor/images/bad_image.h"
#include "extractor/images/decode.h"

namespace last {
namespace {

// The file is pushed into libpng, as PIL does: rows count as far as data allow, whatever is missing
// behind the last one. libpng reports errors by longjmp, so the functions that call it hold no
// object with a destructor.
class Decoder {
 public:
  explicit Decoder(std::span<const uint8_t> bytes) : bytes_(bytes) {
    png_ = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, this, on_error, on_warning, this,
                                    allocate, release);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr) throw std::bad_alloc();
  }
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // Up to the first pixel data; false with a message() where they aren't reached.
  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    png_set_progressive_read_fn(png_, this, on_header, on_row, nullptr);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // --max-pixels is the limit
    // Colour profiles, texts and the like change no pixel; transparency is dropped.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_process_data(png_, info_, const_cast<uint8_t*>(bytes_.data()), bytes_.size());
    return has_header_;
  }

  // False where the data end or break before the last row.
  bool read_rows(uint8_t* pixels, size_t row_bytes) {
    pixels_ = pixels;
    row_bytes_ = row_bytes;
    if (setjmp(jump_) != 0) return is_complete();
    png_set_crc_action(png_, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_gray_to_rgb(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) != row_bytes) png_error(png_, "unexpected pixel format");
    png_process_data(png_, info_, const_cast<uint8_t*>(bytes_.data()) + bytes_.size() - unread_,
                     unread_);
    return is_complete();
  }

  uint64_t width() const { return png_get_image_width(png_, info_); }
  uint64_t height() const { return png_get_image_height(png_, info_); }
  const char* message() const { return message_; }
  // What went wrong may say nothing about the image.
  bool lacked_memory() const { return lacked_memory_; }

 private:
  bool is_complete() const {
    return png_get_interlace_type(png_, info_) == PNG_INTERLACE_NONE
               ? png_get_current_row_number(png_) >= height()
               : png_get_current_pass_number(png_) >= PNG_INTERLACE_ADAM7_PASSES;
  }

  static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<Decoder*>(png_get_error_ptr(png));
    std::strncpy(self->message_, message, sizeof(message_) - 1);
    std::longjmp(self->jump_, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  // libpng passes on zlib's requests as well.
  static png_voidp allocate(png_structp png, png_alloc_size_t size) {
    void* memory = std::malloc(size);
    if (memory == nullptr) static_cast<Decoder*>(png_get_mem_ptr(png))->lacked_memory_ = true;
    return memory;
  }
  static void release(png_structp, png_voidp memory) { std::free(memory); }
  static void on_header(png_structp png, png_infop) {
    auto* self = static_cast<Decoder*>(png_get_progressive_ptr(png));
    self->has_header_ = true;
    self->unread_ = png_process_data_pause(png, 0);
  }
  static void on_row(png_structp png, png_bytep row, png_uint_32 y, int) {
    auto* self = static_cast<Decoder*>(png_get_progressive_ptr(png));
    if (row != nullptr) {
      png_progressive_combine_row(png, self->pixels_ + y * self->row_bytes_, row);
    }
  }

  std::span<const uint8_t> bytes_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf jump_;
  char message_[200] = "it is truncated";
  bool lacked_memory_ = false;
  bool has_header_ = false;
  size_t unread_ = 0;  // bytes behind the header
  uint8_t* pixels_ = nullptr;
  size_t row_bytes_ = 0;
};

void check(bool done, const Decoder& decoder) {
  if (!done && decoder.lacked_memory()) throw std::bad_alloc();
  if (!done) throw BadImage(concat("broken PNG: ", decoder.message()));
}

}  // namespace

cv::Mat decode_png(std::span<const uint8_t> bytes, uint64_t max_pixels) {
  Decoder decoder(bytes);
  check(decoder.read_header(), decoder);
  check_pixel_count(decoder.width(), decoder.height(), max_pixels);
  cv::Mat pixels(static_cast<int>(decoder.height()), static_cast<int>(decoder.width()), CV_8UC3);
  check(decoder.read_rows(pixels.data, pixels.step), decoder);
  return pixels;
}

}  // namespace last
