// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace mirilla::emulate {

class Device;

/// What ran of every kernel of the program, also of those that were never launched, and of the functions that
/// they call, as lines of fields between tabs:
///
///   kernel  NAME  FILE  INSTRUCTIONS  RAN                a kernel, the .cu file that it was compiled from, instructions of its PTX
///   never   NUMBER  PTX_LINE  FILE:LINE,FILE:LINE  TEXT  one of its instructions that no lane executed: its number in the kernel, its
///                                                        place in the source (line 0: that of the one before) and where that was
///                                                        inlined, its text
///
/// Throws nothing: a file that cannot be written ends the program with a sentence.
void write_coverage(Device& device, const std::string& file);

}  // namespace mirilla::emulate
