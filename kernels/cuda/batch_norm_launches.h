// SPDX-License-Identifier: MIT
#pragma once

namespace mirilla {

/// In how many launches a batch norm's pass with statistics runs: 1, where its blocks can all run at the same time, or 2. The bits are the
/// same. From the environment until set_norm_launches is called; do not set it during a call.
int norm_launches();
void set_norm_launches(int launches);
/// MIRILLA_NORM_LAUNCHES, 1 unless it is set. Throws UsageError where it is neither.
int norm_launches_from_environment();

}  // namespace mirilla
