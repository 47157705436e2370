// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/atomic_file.h"  // where the plan store needs it too
