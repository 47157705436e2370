// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/forms/form.h"

namespace mirilla::ptx {

void mbarrier_form(Form& form);
/// cp.async.mbarrier.arrive: arrives once the thread's copies are complete.
void arrive_when_copied(Form& form, bool no_increase);

}  // namespace mirilla::ptx
