// SPDX-License-Identifier: MIT
#include <cudnn.h>

#include "kernels/cuda/vendor/cudnn.h"

// In programs for the emulated GPU, whose cuDNN is a part of them: cudnn-frontend calls it by its names.
namespace mirilla::cuda::vendor {

const Library& cudnn() {
  static const Library library = Library::linked("emulated cuDNN", static_cast<LibraryVersion>(cudnnGetVersion()));
  return library;
}

}  // namespace mirilla::cuda::vendor
