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

/// The network's inputs from a data set, as pictures.                                    [fastai.data.core.TfmdDL.show_batch]
namespace mirilla::nn {

struct ShowBatchOptions {
  int64_t pictures = 9;       // the first pictures of the batch, at most all of it
  int64_t batch_size = 128;   // of training; the pictures of a batch share one crop
  bool training = true;       // else the first batch of validation, without random draws
  int64_t variants = 0;       // not 0: this many variants of one picture, the first of the training part, each with new draws
  uint64_t seed = 42;         // the seed of training
  data::AugmentSpec augment;  // augment.size is overridden by info.size
  int loader_threads = 1;
};

struct ShownPicture {
  int64_t item = 0;        // of the data set
  data::PictureDraw draw;  // neutral in validation
  data::Picture picture;   // (info.size, info.size): the network's input, denormalised and rounded to 8 bits
};

struct ShownBatch {
  int64_t n = 0;   // size of the batch that the pictures come from
  data::Box crop;  // of the resized pictures: the batch's
  std::vector<ShownPicture> pictures;
};

/// The first training batch of a Learner with this data set, seed and batch size, with the same pixels: the first epoch's order and crops,
/// the first step's draws. The variants are a batch of their own, under the same crop, whose i-th picture takes Resize's crop from epoch i
/// and the draws of place i. Call scan() first, as in training. Throws UsageError for fewer than one picture and for variants in
/// validation, DataError where the part is smaller than one batch, or empty.
ShownBatch show_batch(const std::shared_ptr<const data::Dataset>& dataset, const ModelInfo& info, const ShowBatchOptions& options,
                      Placement placement);

/// A network's input (n,size,size,3) back to 8-bit pictures: 255 (x std + mean), rounded, clamped to 0 .. 255.
std::vector<data::Picture> denormalized(const Tensor& input, const ModelInfo& info);

/// The pictures in fastai's grid, int(sqrt(n)) rows, each under its class; pixels are enlarged to squares of whole pixels, so that small
/// pictures are about 256 wide.
/// [fastai.vision.data.get_grid]
data::Picture figure_of(const ShownBatch& batch, const data::Dataset& dataset);

}  // namespace mirilla::nn
