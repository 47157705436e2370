// SPDX-License-Identifier: MIT
#include "kernels/reference/reference.h"

namespace mirilla {

ReferenceBackend::ReferenceBackend() = default;

}  // namespace mirilla
