// SPDX-License-Identifier: MIT
#include "nn/measure/pointing.h"

#include <algorithm>

#include "data/items.h"
#include "data/pictures/decode.h"
#include "data/pictures/resize.h"
#include "nn/explain/grad_cam.h"
#include "nn/measure/cam_measures.h"
#include "nn/run/finite.h"
#include "nn/run/predict.h"

namespace mirilla::nn {

namespace {

// The mask as the network would see it: cropped and resized with its picture, so that places in the map and in the mask agree.
data::Picture mask_of(const data::Dataset& dataset, const std::string& path, const ModelInfo& info) {
  return resized_picture(data::decode(dataset.source().read(path), path), info);
}

bool is_hit(const CamMap& map, const data::Picture& mask) {
  const auto largest = std::max_element(map.values.begin(), map.values.end()) - map.values.begin();
  const int row = static_cast<int>(largest) / map.width, column = static_cast<int>(largest) % map.width;
  const int x = (2 * column + 1) * mask.width / (2 * map.width), y = (2 * row + 1) * mask.height / (2 * map.height);
  return inside(mask, x, y);
}

}  // namespace

Pointing play_pointing(Module& model, const data::Dataset& dataset, const Evaluation& evaluation, const ModelInfo& info,
                       const std::string& layer, const std::function<void(int64_t done, int64_t total)>& progress) {
  const Placement placement = placement_of(model);
  Pointing pointing;
  int64_t done = 0;
  for (const ItemResult& result : evaluation.items) {
    if (progress) progress(done++, evaluation.n);
    if (result.predicted != result.actual) continue;
    const auto path = data::mask_path(dataset.source(), dataset.items()[static_cast<size_t>(result.item)].path);
    if (!path) continue;
    const data::Picture mask = mask_of(dataset, *path, info);
    const Tensor input = prepare(*dataset.picture(result.item), info, placement);
    const GradCam cam = of_picture_named(dataset.items()[static_cast<size_t>(result.item)].path, [&] {
      return grad_cam(model, input, {layer}, static_cast<int>(result.predicted), CamStyle::course);
    });
    ++pointing.n;
    pointing.hits += is_hit(cam.maps[0], mask);
    pointing.random += share_inside(mask);
  }
  if (evaluation.correct == 0) return pointing;
  if (pointing.n == 0)
    throw DataError(
        fmt::format("{}: none of the {} pictures that were classified right has a mask", dataset.source().name(), evaluation.correct),
        "masks lie at masks/<path of the picture>.png in the same archive, as `mirilla scenes` writes them");
  pointing.share = static_cast<double>(pointing.hits) / static_cast<double>(pointing.n);
  pointing.random /= static_cast<double>(pointing.n);
  return pointing;
}

}  // namespace mirilla::nn
