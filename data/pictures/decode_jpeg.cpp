// SPDX-License-Identifier: MIT
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

#include <jpeglib.h>
// jpeglib.h must come first
#include <jerror.h>

#include "data/pictures/decode_kinds.h"
#include "kernels/core/error.h"

namespace mirilla::data::detail {

namespace {

// libjpeg reports errors through a callback that must not return. It jumps (longjmp); so between setjmp and the jump there must be no local
// object with a destructor, and everything that survives the jump is a member of Decoder.
struct ErrorManager {
  jpeg_error_mgr base;  // first member, so that libjpeg's pointer also points to this struct
  std::jmp_buf jump;
  int code;  // of jerror.h
};

void fail(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  manager->code = info->err->msg_code;
  std::longjmp(manager->jump, 1);
}

// A source with all bytes in memory that suspends at the end, as in Pillow: libjpeg's own would insert an end marker and paint the rest
// grey.
void nothing(j_decompress_ptr) {}
boolean suspend(j_decompress_ptr) { return FALSE; }
void skip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  const size_t step = static_cast<size_t>(count) < info->src->bytes_in_buffer ? static_cast<size_t>(count) : info->src->bytes_in_buffer;
  info->src->next_input_byte += step;
  info->src->bytes_in_buffer -= step;
}

enum class Outcome { kGood, kTruncated, kFailed };

class Decoder {
 public:
  Decoder(std::span<const uint8_t> bytes) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = fail;
    errors_.base.output_message = [](j_common_ptr) {};  // warnings do not stop Pillow either, and the library never prints
    source_.init_source = nothing;
    source_.term_source = nothing;
    source_.fill_input_buffer = suspend;
    source_.skip_input_data = skip;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
  }
  ~Decoder() {
    if (created_) jpeg_destroy_decompress(&info_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Outcome read_header() {
    if (setjmp(errors_.jump)) return Outcome::kFailed;
    jpeg_create_decompress(&info_);
    created_ = true;
    info_.src = &source_;
    if (jpeg_read_header(&info_, TRUE) == JPEG_SUSPENDED) return Outcome::kTruncated;
    return Outcome::kGood;
  }

  /// Rows of width * channels() bytes.
  Outcome read_pixels(uint8_t* pixels) {
    if (setjmp(errors_.jump)) return Outcome::kFailed;
    // Grey stays one channel and is expanded later, CMYK and YCCK come as CMYK, as in Pillow. The other settings are the defaults:
    // islow DCT, fancy upsampling, block smoothing.
    info_.out_color_space = channels() == 1 ? JCS_GRAYSCALE : channels() == 3 ? JCS_RGB : JCS_CMYK;
    if (!jpeg_start_decompress(&info_)) return Outcome::kTruncated;
    const size_t row_bytes = static_cast<size_t>(info_.output_width) * static_cast<size_t>(channels());
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = pixels + row_bytes * info_.output_scanline;
      if (jpeg_read_scanlines(&info_, &row, 1) != 1) return Outcome::kTruncated;
    }
    return Outcome::kGood;  // whether an end marker follows is not checked, as in Pillow
  }

  int width() const { return static_cast<int>(info_.image_width); }
  int height() const { return static_cast<int>(info_.image_height); }
  int channels() const { return info_.num_components; }
  int error() const { return errors_.code; }

 private:
  ErrorManager errors_{};
  jpeg_source_mgr source_{};
  jpeg_decompress_struct info_{};
  bool created_ = false;
};

void throw_unless_good(Outcome outcome, const Decoder& decoder, std::string_view name) {
  if (outcome == Outcome::kTruncated) throw DataError(fmt::format("{}: the JPEG is cut off", name), "was it copied completely?");
  if (outcome != Outcome::kFailed) return;
  constexpr const char* kSaveAgain = "save it again, as an ordinary JPEG or as PNG";
  switch (decoder.error()) {
    case JERR_OUT_OF_MEMORY: throw std::bad_alloc();
    case JERR_SOF_UNSUPPORTED:
      throw DataError(fmt::format("{}: a lossless or hierarchical JPEG, which is not supported", name), kSaveAgain);
    case JERR_BAD_PRECISION: throw DataError(fmt::format("{}: a JPEG of more than 8 bits, which is not supported", name), kSaveAgain);
    default: throw DataError(fmt::format("{}: the JPEG is damaged: it does not decode", name), "was it copied completely?");
  }
}

void spread_grey(const std::vector<uint8_t>& grey, std::vector<uint8_t>& rgb) {
  for (size_t i = 0; i < grey.size(); ++i) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = grey[i];
}

/// Pillow inverts the values ("CMYK;I": all four as Adobe writes them) and then converts with (255-k) - c*(255-k)/255, rounded.
void cmyk_to_rgb(const std::vector<uint8_t>& adobe, std::vector<uint8_t>& rgb) {
  for (size_t i = 0; i < adobe.size() / 4; ++i) {
    const int not_black = adobe[4 * i + 3];  // 255 - k, and k = 255 - stored
    for (size_t c = 0; c < 3; ++c) {
      const int product = (255 - adobe[4 * i + c]) * not_black + 128;
      rgb[3 * i + c] = static_cast<uint8_t>(not_black - (((product >> 8) + product) >> 8));
    }
  }
}

}  // namespace

Picture decode_jpeg(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  Decoder decoder(bytes);
  throw_unless_good(decoder.read_header(), decoder, name);
  const int channels = decoder.channels();
  if (channels != 1 && channels != 3 && channels != 4)
    throw DataError(fmt::format("{}: a JPEG with {} channels, which is not supported", name, channels));
  check_picture_size(decoder.width(), decoder.height(), name, most_pixels);
  check_pixels_fit(decoder.width(), decoder.height(), bytes.size(), name);
  Picture picture(decoder.width(), decoder.height());
  if (channels == 3) {
    throw_unless_good(decoder.read_pixels(picture.pixels.data()), decoder, name);
    return picture;
  }
  std::vector<uint8_t> raw(picture.pixels.size() / 3 * static_cast<size_t>(channels));
  throw_unless_good(decoder.read_pixels(raw.data()), decoder, name);
  channels == 1 ? spread_grey(raw, picture.pixels) : cmyk_to_rgb(raw, picture.pixels);
  return picture;
}

}  // namespace mirilla::data::detail
