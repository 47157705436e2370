// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

/// The folder that a training's results go to, as its readers find it: config.json, history.csv, loss.png and model.safetensors of one run,
/// whatever became of that run.
namespace mirilla::apps {

/// Begins a run in a folder that is there: takes the files of an earlier run out of the way, the model first, and only then writes
/// config.json. An earlier run that left a model goes to `<folder>/earlier` as a whole, in place of what was there, and a line on stderr
/// says so; what is left of one without a model goes for good, as it would when it is overwritten. Throws Error where that cannot be done.
void begin_run(const std::filesystem::path& folder, const std::string& config);

}  // namespace mirilla::apps
