// SPDX-License-Identifier: MIT
#pragma once

namespace mirilla {

/// How many of `wanted` further threads, with stacks as OpenMP makes them and room to work there, the system lets this process have at one
/// time: starts and ends them.
/// Takes some 30 us a thread.
int startable_threads(int wanted);

}  // namespace mirilla
