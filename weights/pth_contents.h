// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "weights/file_bytes.h"
#include "weights/pickle.h"

namespace mirilla::weights {

/// A file of torch.save, taken apart: its pickle, and the bytes of the storages that it names.
struct PthContents {
  std::string origin;
  size_t file_size = 0;
  FileBytes pickle;  // what `pickled` refers to
  pickle::Result pickled;
  /// The bytes of a storage. Throws WeightsError where the file has none of this key, or they are damaged.
  std::function<FileBytes(std::string_view key)> storage;
};

/// Since PyTorch 1.6: a zip of one pickle and the storages.
PthContents zip_contents(const std::filesystem::path& path);

/// Whether a file begins as those before PyTorch 1.6 do.
bool is_legacy(std::string_view start);

/// Before PyTorch 1.6: three pickles of a magic number, a version and the byte order, the pickle, a pickled list of the storages' keys, and
/// then the storages one after the other, each with its number of elements before it.   [torch/serialization.py, _legacy_load]
PthContents legacy_contents(const std::filesystem::path& path);

}  // namespace mirilla::weights
