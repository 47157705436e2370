// SPDX-License-Identifier: MIT
#include "data/photos.h"

#include "data/archive/archive.h"
#include "kernels/core/error.h"
#include "kernels/host/threads.h"

namespace mirilla::data {

Photos open(const std::filesystem::path& path, const PhotosOptions& options) {
  auto dataset = open_training(open_source(path),
                               {.valid_pct = options.valid,
                                .split_seed = options.seed,
                                .split_file = {},
                                .options = {.resize = options.resize, .exif_rotate = options.exif_rotate, .max_bad = options.max_bad}});
  dataset->scan(options.threads > 0 ? options.threads : host_threads());
  if (dataset->valid().empty())
    throw DataError(fmt::format("{}: none of {} pictures is left to validate with", path.string(), dataset->train().size()),
                    "give more pictures or a larger share");
  return {.dataset = std::move(dataset), .size = options.size};
}

}  // namespace mirilla::data
