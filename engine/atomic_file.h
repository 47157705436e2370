// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/atomic_file.h"  // where the plan store needs it too
