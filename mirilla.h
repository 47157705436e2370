// SPDX-License-Identifier: MIT
#pragma once

/// The headers that a program usually needs. An installed copy has this file as <mirilla/mirilla.h>, and the headers of each folder below
/// <mirilla/...>: include those alone if you need fewer. docs/library.md explains the use.

// Values, the gradient tape and the operations.
#include "engine/amp/autocast.h"
#include "engine/gradient_check.h"
#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/concat.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/reductions.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "engine/tensor.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "kernels/host/threads.h"

// Pictures in, pictures out.
#include "data/archive/archive.h"
#include "data/dataset.h"
#include "data/draw/figure.h"
#include "data/photos.h"
#include "data/pictures/decode.h"
#include "data/write/png_write.h"

// Networks: made of modules, read from files, run, trained, explained.
#include "nn/explain/cam.h"
#include "nn/explain/explain.h"
#include "nn/explain/explain_picture.h"
#include "nn/files/classifier.h"
#include "nn/files/model_file.h"
#include "nn/modules/layers.h"
#include "nn/modules/module.h"
#include "nn/modules/resnet.h"
#include "nn/modules/watch.h"
#include "nn/run/evaluate.h"
#include "nn/run/loss.h"
#include "nn/run/metric.h"
#include "nn/run/predict.h"
#include "nn/train/adam.h"
#include "nn/train/callbacks.h"
#include "nn/train/freeze.h"
#include "nn/train/learner.h"
#include "nn/train/optimizer.h"
#include "nn/train/sgd.h"
