// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

/// What the globals of a pickle mean, by their names: "module.name".
namespace mirilla::weights::pickle {

inline constexpr std::string_view kOrderedDict = "collections.OrderedDict";
inline constexpr std::string_view kSize = "torch.Size";
inline constexpr std::string_view kRebuildFromType = "torch._tensor._rebuild_from_type_v2";

bool is_tensor_builder(std::string_view global);
bool is_parameter_builder(std::string_view global);
bool is_storage_type(std::string_view global);
bool is_set_type(std::string_view global);

/// Whether calling it makes a value here, and not only a node that stands for an object.
bool is_called_here(std::string_view global);

/// Whether Python would run code or a command by this name. Nothing is ever run here, so that a name missing here does no harm; but a file
/// with one of these was made to do some, and is not believed in anything else.
bool runs_code(std::string_view module, std::string_view name);

}  // namespace mirilla::weights::pickle
