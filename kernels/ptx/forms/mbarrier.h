// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/forms/form.h"

namespace mirilla::ptx {

void mbarrier_form(Form& form);
/// cp.async.mbarrier.arrive: arrives once the thread's copies are complete.
void arrive_when_copied(Form& form, bool no_increase);

/// A bulk copy of that many bytes is complete, for the mbarrier at this address of shared memory.
void complete_bytes(const Instruction& i, Warp& warp, u32 lane, u64 address, u32 bytes);

}  // namespace mirilla::ptx
