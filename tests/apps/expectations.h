// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/apps/program.h"

namespace mirilla::apps {

/// Expects this exit code and one sentence of ours that contains these words.
void expect_failure(const Outcome& outcome, int code, const std::vector<std::string>& words);

/// Expects that nothing in the output is a library's text or the system's name for an error.
void expect_no_raw_text(const Outcome& outcome);

/// Expects no half-written file there.
void expect_no_leftovers(const std::filesystem::path& folder);

/// folder/<class>/<n>.png: small scenes, `each` of each class.
void draw_photos(const std::filesystem::path& folder, const std::vector<std::string>& classes, int each);

/// Saves a network of random numbers for these classes, 64 px, in the form of `mirilla train`.
void save_small_model(const std::filesystem::path& path, const std::vector<std::string>& classes);

}  // namespace mirilla::apps
