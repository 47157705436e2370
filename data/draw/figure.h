// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/draw/colormap.h"
#include "data/pictures/picture.h"

/// Figures made of pictures: a map drawn over a picture, and panels side by side with their titles.
namespace mirilla::data {

/// How a class activation map is read: which values it shows, and which get the two ends of the colour map.
enum class CamStyle {
  course,  // signed, as the fastai course computes it: from the map's minimum to its maximum
  paper,   // max(map, 0), only what speaks for the class: from 0 to the map's maximum                  [Selvaraju et al. 2017]
};

struct OverlayOptions {
  double alpha = 0.6;  // opacity of the map
  CamStyle style = CamStyle::course;
  const Colormap* colors = &kMagma;
};

/// The map stretched over the picture: interpolated between the centres of its cells, edges held, then coloured, then blended:
/// round(alpha * colour + (1 - alpha) * picture). A map with one value everywhere takes the first colour.
/// [matplotlib: imshow(map, alpha=0.6, extent=(0, W, H, 0), interpolation='bilinear', cmap='magma')]
///
///   map  (height, width), any size from 1 x 1
///
/// Throws ShapeError where map.size() is not height * width, DataError for a value that is not finite.
Picture overlay(const Picture& picture, std::span<const float> map, int height, int width, const OverlayOptions& options = {});

/// The values of the map at the centre of each pixel of the overlay, before colouring: (picture_height, picture_width).
std::vector<float> stretch_map(std::span<const float> map, int height, int width, int picture_height, int picture_width);

/// Another size, interpolated between pixel centres, edges held. For showing pictures larger; it does not filter when shrinking.
Picture stretch(const Picture& picture, int width, int height);

/// Two pictures as one, side by side with a thin white line between: for pictures that belong together under one title.
Picture beside(const Picture& left, const Picture& right);

struct Panel {
  Picture picture;
  std::string title;  // ASCII; other bytes show as '?'
};

struct FigureOptions {
  int panel_px = 288;  // the longer side of each picture as shown
  int columns = 4;     // panels in a row
  std::string title;   // above all panels
};

/// Panels in rows on white, each under its title. Throws UsageError without panels or with an empty picture.
Picture figure(std::span<const Panel> panels, const FigureOptions& options = {});

}  // namespace mirilla::data
