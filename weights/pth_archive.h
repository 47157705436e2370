// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "weights/file_bytes.h"

struct zip;

namespace mirilla::weights {

/// The zip that torch.save writes: <folder>/data.pkl, <folder>/data/<key>, <folder>/byteorder, ... Sizes are checked before anything is
/// allocated: everything read from one file stays below four times its size (PyTorch does not compress, so normally below its size).
class PthArchive {
 public:
  /// Throws WeightsError where the file is not such a zip: no zip at all, another kind of zip, TorchScript, big-endian, or the form before
  /// PyTorch 1.6.
  explicit PthArchive(const std::filesystem::path& path);

  /// The bytes of <folder>/<name>, checked against the zip's checksum.
  FileBytes read(std::string_view name);
  bool contains(std::string_view name) const;
  const std::string& origin() const { return origin_; }
  size_t file_size() const { return file_size_; }

 private:
  [[noreturn]] void fail(std::string_view why, std::string_view hint = "was its download or its copy cut off?") const;
  void find_folder();

  struct Closer {
    void operator()(zip* archive) const;
  };
  std::string origin_;
  size_t file_size_ = 0;
  uint64_t budget_ = 0;
  std::string folder_;  // with the slash at the end
  std::unique_ptr<zip, Closer> zip_;
};

}  // namespace mirilla::weights
