// SPDX-License-Identifier: MIT
// Operations that are not written yet; each line goes when its file comes.
#include "kernels/cuda/common.h"

namespace mirilla::MIRILLA_PLATFORM {


}  // namespace mirilla::MIRILLA_PLATFORM
