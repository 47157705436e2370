// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "engine/tensor.h"
#include "nn/files/model_file.h"

/// What the network gets to see of a data set, as pictures.                                    [fastai.data.core.TfmdDL.show_batch]
namespace mirilla::nn {

struct ShowBatchOptions {
  int64_t pictures = 9;       // the batch's first, as many as it has
  int64_t batch_size = 128;   // of training; all of a batch shares one crop
  bool training = true;       // else validation's first batch, which nothing is drawn for
  int64_t variants = 0;       // not 0: instead so many times one picture, the training part's first, each time drawn anew
  uint64_t seed = 42;         // training's
  data::AugmentSpec augment;  // augment.size is overridden by info.size
  int loader_threads = 1;
};

struct ShownPicture {
  int64_t item = 0;        // of the data set
  data::PictureDraw draw;  // neutral in validation
  data::Picture picture;   // (info.size, info.size): the network's input, denormalised and rounded to 8 bits
};

struct ShownBatch {
  int64_t n = 0;   // of the batch that the pictures are the first of
  data::Box crop;  // of the resized pictures: the batch's
  std::vector<ShownPicture> pictures;
};

/// The first training batch of a Learner with this data set, seed and batch size, to the pixel: the first epoch's order and crops, the
/// first step's draws. The variants are a batch of their own, under the same crop, whose i-th picture takes Resize's crop from epoch i and
/// the draws of place i. Call scan() first, as training does. Throws UsageError for fewer than one picture and for variants in validation,
/// DataError where the part is smaller than one batch, or empty.
ShownBatch show_batch(const std::shared_ptr<const data::Dataset>& dataset, const ModelInfo& info, const ShowBatchOptions& options,
                      Placement placement);

/// A network's input (n,size,size,3) back to 8-bit pictures: 255 (x std + mean), rounded, held within 0 and 255.
std::vector<data::Picture> denormalized(const Tensor& input, const ModelInfo& info);

/// The pictures in fastai's grid, int(sqrt(n)) rows, each under its class; pixels as squares of whole pixels, so that small pictures are
/// about 256 wide.                                                                                          [fastai.vision.data.get_grid]
data::Picture figure_of(const ShownBatch& batch, const data::Dataset& dataset);

}  // namespace mirilla::nn
