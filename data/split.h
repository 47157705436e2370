// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/items.h"

namespace mirilla::data {

/// Which items are for training and which for validation, as indices into the list of items.
struct Split {
  std::vector<int64_t> train;
  std::vector<int64_t> valid;
};

/// A permutation of 0..n-1, bit-equal to `torch.manual_seed(seed); torch.randperm(n)` on the CPU: MT19937 (seeded with the lower 32 bits),
/// r[i] swapped with r[i + z % (n - i)] for i = 0..n-2. Throws ShapeError for a negative n or one of 2^32 / 20 and more, where torch draws
/// 64 bits.
std::vector<int64_t> randperm(int64_t n, uint64_t seed);

/// fastai's RandomSplitter(valid_pct, seed): validation is the first int(valid_pct * n) of randperm(n, seed), training the rest, both in
/// permuted order. Throws UsageError unless 0 <= valid_pct < 1, DataError where it leaves nothing to train on.
Split random_split(int64_t n, double valid_pct, uint64_t seed);

/// Validation has the items listed in `names`, training the rest, both in the items' order. A name is a path, or the end of one from some
/// folder on: `sea/1.jpg` names `train/sea/1.jpg`, and so does `/home/me/photos/sea/1.jpg` if no longer suffix fits (folder and file must
/// fit). Throws DataError where a name fits no item or several items, or no name is given, or nothing is left to train on.
Split file_split(std::span<const Item> items, std::span<const std::string> names);

/// The lines of a --split-file without blank ones, those that begin with '#', and white space around them. Throws DataError where it
/// cannot be read.
std::vector<std::string> read_split_file(const std::filesystem::path& path);

}  // namespace mirilla::data
