// SPDX-License-Identifier: MIT
#pragma once

namespace mirilla {

/// In how many launches a batch norm's pass with statistics runs: 1, where its blocks can all run at the same time, or 2. The bits are the
/// same. From the environment, MIRILLA_NORM_LAUNCHES, until set_norm_launches is called; do not set it during a call. Throws UsageError
/// where the variable is neither.
int norm_launches();
void set_norm_launches(int launches);

}  // namespace mirilla
