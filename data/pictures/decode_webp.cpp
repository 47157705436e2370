// SPDX-License-Identifier: MIT
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>
#include <new>

#include "data/pictures/chunks.h"
#include "data/pictures/decode_kinds.h"
#include "kernels/core/error.h"

namespace mirilla::data::detail {

namespace {

// A picture of one colour takes almost no bytes in WebP, so a limit on pixels per byte would refuse it. This many
// pixels are always allowed: at 7 bytes each, with libwebp's memory, they need less than 64 MiB.
constexpr int64_t kPixelsOfAnyFile = int64_t{1} << 23;
// libwebp keeps about 100 bytes per frame; no real animation has this many.
constexpr int64_t kMostFrames = 1 << 16;

[[noreturn]] void throw_cut_off(std::string_view name) {
  throw DataError(fmt::format("{}: the WebP is cut off", name), "was it copied completely?");
}
[[noreturn]] void throw_damaged(std::string_view name) {
  throw DataError(fmt::format("{}: the WebP is damaged: it does not decode", name), "was it copied completely?");
}

void check_frames(std::span<const uint8_t> bytes, std::string_view name) {
  int64_t frames = 0;
  for_each_riff_chunk(bytes, [&](const RiffChunk& chunk) { return (frames += chunk.type == "ANMF") <= kMostFrames; });
  if (frames > kMostFrames) throw DataError(fmt::format("{}: a WebP of more than {} frames, which is not supported", name, kMostFrames));
}

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DeleteDemuxer>;

/// The parts of the file; only a complete file is accepted, as in Pillow.
Demuxer open(std::span<const uint8_t> bytes, std::string_view name) {
  const WebPData data{.bytes = bytes.data(), .size = bytes.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  Demuxer demuxer(WebPDemuxPartial(&data, &state));
  if (state == WEBP_DEMUX_PARSE_ERROR) throw_damaged(name);
  if (state != WEBP_DEMUX_DONE) throw_cut_off(name);
  if (!demuxer) throw std::bad_alloc();
  return demuxer;
}

class Frame {
 public:
  Frame(const Demuxer& demuxer, std::string_view name) {
    if (!WebPDemuxGetFrame(demuxer.get(), 1, &frame_)) throw_damaged(name);
  }
  ~Frame() { WebPDemuxReleaseIterator(&frame_); }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  const WebPIterator* operator->() const { return &frame_; }

 private:
  WebPIterator frame_{};
};

/// Decodes a frame into its place; the rest of the picture stays black.
void decode_frame(const Frame& frame, Picture& picture, std::string_view name) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) throw Error("libwebp is of another version than the one this program was built with");
  if (frame->x_offset < 0 || frame->y_offset < 0 || frame->x_offset >= picture.width || frame->y_offset >= picture.height)
    throw_damaged(name);
  uint8_t* const place = picture.at(frame->x_offset, frame->y_offset);
  config.output.colorspace = MODE_RGB;  // alpha is dropped, not blended: Pillow's convert('RGB')
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {
      .rgba = place, .stride = 3 * picture.width, .size = static_cast<size_t>(picture.pixels.data() + picture.pixels.size() - place)};
  if (frame->width > picture.width - frame->x_offset || frame->height > picture.height - frame->y_offset) throw_damaged(name);
  const VP8StatusCode status = WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (status == VP8_STATUS_SUSPENDED || status == VP8_STATUS_NOT_ENOUGH_DATA) throw_cut_off(name);
  if (status != VP8_STATUS_OK) throw_damaged(name);
}

}  // namespace

Picture decode_webp(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  check_frames(bytes, name);
  const Demuxer demuxer = open(bytes, name);
  const int64_t width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH), height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT);
  check_picture_size(width, height, name, most_pixels);
  if (width * height > std::max(kPixelsOfAnyFile, kMostPixelsPerByte * static_cast<int64_t>(bytes.size())))
    throw DataError(fmt::format("{}: {} bytes of WebP that unpack to {}x{} pixels are not decoded", name, bytes.size(), width, height),
                    "it is a single colour, or made to fill the memory; save it as JPEG or PNG");
  const Frame frame(demuxer, name);
  Picture picture(static_cast<int>(width), static_cast<int>(height));
  decode_frame(frame, picture, name);
  return picture;
}

std::string webp_library() {
  const int version = WebPGetDecoderVersion();
  return fmt::format("{}.{}.{}", version >> 16, version >> 8 & 0xFF, version & 0xFF);
}

}  // namespace mirilla::data::detail
