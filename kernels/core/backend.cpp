// SPDX-License-Identifier: MIT
#include "kernels/core/backend.h"

#include "kernels/core/error.h"

namespace mirilla {

void Backend::missing(std::string_view operation) const {
  throw DeviceError(fmt::format("the device '{}' has no {}", name(), operation),
                    "ask has() first, or call the operator in engine/ops, which composes it from the core");
}

}  // namespace mirilla
