// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/settings.h"

#include <string>
#include <string_view>

namespace mirilla::emulate {

// MIRILLA_EMULATE_PTX=FOLDER, to run edited PTX: a program that finds no such folder makes it and writes its PTX there, one file per
// module; one that finds it loads each module from its file there, where there is one.

/// Throws Error where the folder has PTX of another program or another build, which would not be used.
void prepare_ptx_folder(const Settings& settings);
/// The text in the folder that takes the place of this one; this one where the folder has none.
std::string edited_ptx(const std::string& folder, std::string text);
/// The .cu file that the PTX was compiled from, as its .file directives have it; "" where they have none.
std::string source_of(std::string_view text);

}  // namespace mirilla::emulate
