// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/apps/program.h"

namespace mirilla::apps {

/// Fails with this code and one sentence of ours that holds these words.
void expect_failure(const Outcome& outcome, int code, const std::vector<std::string>& words);

/// Whatever it says, none of it is the text of a library, or the system's name for an error.
void expect_no_raw_text(const Outcome& outcome);

/// No half-written file lies there.
void expect_no_leftovers(const std::filesystem::path& folder);

/// folder/<class>/<n>.png: small scenes, so many of each class.
void draw_photos(const std::filesystem::path& folder, const std::vector<std::string>& classes, int each);

/// A network of random numbers for these classes, 64 px, as `mirilla train` saves it.
void save_small_model(const std::filesystem::path& path, const std::vector<std::string>& classes);

}  // namespace mirilla::apps
