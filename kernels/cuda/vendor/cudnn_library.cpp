// SPDX-License-Identifier: MIT
#include <cudnn.h>
#include <fmt/format.h>

#include "kernels/cuda/vendor/cudnn.h"

namespace mirilla::cuda::vendor {

namespace {

// cudnn-frontend reads at compile time from the headers what cuDNN can do, so an older cuDNN than the headers is refused.
LibraryWanted wanted() {
  return {.name = "cuDNN",
          .files = {fmt::format("libcudnn.so.{}", CUDNN_MAJOR), "libcudnn.so"},
          .version_function = "cudnnGetVersion",
          .oldest = CUDNN_MAJOR * 10000 + CUDNN_MINOR * 100,
          .place_variable = "MIRILLA_CUDNN_PATH",
          .folders = library_folders(MIRILLA_CUDNN_FOLDER),
          .package = fmt::format("nvidia-cudnn-cu{}", CUDART_VERSION / 1000)};
}

}  // namespace

const Library& cudnn() {
  static const Library library = Library::open(wanted());
  return library;
}

}  // namespace mirilla::cuda::vendor
