// SPDX-License-Identifier: MIT
#include <cstddef>

// A library that knows its version and one number.
extern "C" {
size_t fake_version() { return FAKE_VERSION; }
int fake_answer() { return 42; }
}
