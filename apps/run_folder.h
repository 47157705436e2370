// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

/// The folder for a training run's results. It always has config.json, history.csv, loss.png and model.safetensors of one run,
/// however that run ended.
namespace mirilla::apps {

/// Begins a run in an existing folder: first moves the files of an earlier run away, the model first, and then writes
/// config.json. An earlier run that left a model is moved to `<folder>/earlier` as a whole, replacing its contents, and a line on stderr
/// says so; the files of one without a model are deleted, as if overwritten. Throws Error if this cannot be done.
void begin_run(const std::filesystem::path& folder, const std::string& config);

}  // namespace mirilla::apps
