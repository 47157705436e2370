// SPDX-License-Identifier: MIT
#include "data/draw/film_strip.h"

#include <algorithm>

#include "data/draw/canvas.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

constexpr Color kPaper = {1, 1, 1}, kInk = {0.13f, 0.13f, 0.15f}, kFilm = {0.09f, 0.09f, 0.11f}, kLight = {0.93f, 0.93f, 0.94f};
constexpr int kMargin = 16, kGap = 8, kTitleGap = 10, kHole = 8, kHoleEvery = 20, kBand = 20, kCaption = 28;

int title_height() { return text_height(2) + kTitleGap; }
int strip_height(int frame_px) { return 2 * kBand + frame_px + kCaption; }

void draw_band(Canvas& canvas, int left, int right, int top) {
  for (int x = left + kGap; x + kHole <= right - kGap; x += kHoleEvery) {
    const auto at = [](int v) { return static_cast<float>(v); };
    canvas.rectangle({at(x), at(top + (kBand - kHole) / 2)}, {at(x + kHole), at(top + (kBand + kHole) / 2)}, kLight);
  }
}

// Draws the title in double size where it fits its frame.
void draw_caption(Canvas& canvas, const std::string& title, int left, int width, int middle) {
  const int scale = text_width(title, 2) <= width ? 2 : 1;
  const std::string text = shortened(title, width, scale);
  canvas.text(text, left + (width - text_width(text, scale)) / 2, middle - text_height(scale) / 2, kLight, scale);
}

void draw_film(Canvas& canvas, const Film& film, int top, int frame_px) {
  canvas.text(shortened(film.title, canvas.width() - 2 * kMargin, 2), kMargin, top, kInk, 2);
  const int strip = top + title_height();
  const int right = kMargin + kGap + static_cast<int>(film.frames.size()) * (frame_px + kGap);
  canvas.rectangle({static_cast<float>(kMargin), static_cast<float>(strip)},
                   {static_cast<float>(right), static_cast<float>(strip + strip_height(frame_px))}, kFilm);
  draw_band(canvas, kMargin, right, strip);
  draw_band(canvas, kMargin, right, strip + strip_height(frame_px) - kBand);
  int left = kMargin + kGap;
  for (const Panel& frame : film.frames) {
    canvas.picture(stretch(frame.picture, frame_px, frame_px), left, strip + kBand);
    draw_caption(canvas, frame.title, left, frame_px, strip + kBand + frame_px + kCaption / 2);
    left += frame_px + kGap;
  }
}

}  // namespace

Picture film_strip(std::span<const Film> films, int frame_px) {
  constexpr int kLeastFrame = 64;
  if (films.empty() || frame_px < kLeastFrame) throw UsageError("a film strip needs a film, and frames of 64 pixels or more");
  size_t most = 0;
  for (const Film& film : films) {
    if (film.frames.empty()) throw UsageError("a film strip needs at least one frame, got none");
    most = std::max(most, film.frames.size());
  }
  const int width = 2 * kMargin + kGap + static_cast<int>(most) * (frame_px + kGap);
  const int each = title_height() + strip_height(frame_px) + kMargin;
  Canvas canvas(width, kMargin + static_cast<int>(films.size()) * each, kPaper);
  int top = kMargin;
  for (const Film& film : films) {
    draw_film(canvas, film, top, frame_px);
    top += each;
  }
  return canvas.to_picture();
}

}  // namespace mirilla::data
