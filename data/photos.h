// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace mirilla::data {

struct PhotosOptions {
  double valid = 0.2;             // the share that validates, where the data has no part `val`
  int resize = 256;               // pictures are cropped and resized to this first
  int size = 128;                 // what a network sees
  uint64_t seed = 42;             // of the split
  bool exif_rotate = false;       // whether pictures are turned as their EXIF says
  double max_bad = kUsualMaxBad;  // the share of pictures that may not decode
  int threads = 0;                // that decode; 0: as many as compute (host_threads)
};

/// Pictures to train on and to validate with, and at which sizes.
struct Photos {
  std::shared_ptr<Dataset> dataset;
  int size = 128;

  const std::vector<std::string>& classes() const { return dataset->vocabulary(); }
};

/// A zip or a folder with one folder per class, opened as `mirilla train` opens it: open_source, open_training, and one scan, which leaves
/// out what does not decode. Throws DataError as those do, and where nothing is left to validate with.
Photos open(const std::filesystem::path& path, const PhotosOptions& options = {});

}  // namespace mirilla::data
