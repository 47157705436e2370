// SPDX-License-Identifier: MIT
#include <cstddef>

// A library with a version function and one other function.
extern "C" {
size_t fake_version() { return FAKE_VERSION; }
int fake_answer() { return 42; }
}
