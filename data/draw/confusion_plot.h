// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/draw/colormap.h"
#include "data/pictures/picture.h"

/// A confusion matrix as a picture.                                      [fastai ClassificationInterpretation.plot_confusion_matrix]
namespace mirilla::data {

struct ConfusionPlot {
  std::span<const int64_t> counts;     // (classes, classes), rows actual, columns predicted
  std::span<const std::string> names;  // (classes)
  bool normalize = false;              // shares of each row, two decimals, instead of counts
  std::string title = "Confusion matrix";
};

/// One square of the picture.
struct ConfusionCell {
  double value = 0;      // the count, or its share of the row: NaN in the row of a class without pictures
  std::string text;      // "12", or "0.34", or "nan"
  Rgb8 color{};          // Blues from the smallest value to the largest; white for NaN
  bool on_dark = false;  // more than half the largest value: white text, else black
};

/// The squares, row by row, with matplotlib's colours. One difference: if there is a NaN, fastai writes everything in black, since the
/// largest value is then NaN; here the largest number counts. Throws ShapeError unless counts is names x names and names is not empty.
std::vector<ConfusionCell> confusion_cells(const ConfusionPlot& plot);

/// The squares with their texts, the class names beside them and (upwards) below, the labels Actual and Predicted, the title. Names that
/// take too much room end in dots. Squares shrink with many classes; where they are too small for text, only colours and some names are
/// shown.
Picture draw_confusion(const ConfusionPlot& plot);

}  // namespace mirilla::data
