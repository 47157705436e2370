// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "weights/file_bytes.h"

struct zip;

namespace mirilla::weights {

/// The zip that torch.save writes: <folder>/data.pkl, <folder>/data/<key>, <folder>/byteorder, ... PyTorch does not compress: an entry is a
/// part of the mapped file, and takes no memory. In a zip that was compressed later sizes are checked before anything is allocated:
/// everything read from one file stays below four times its size.
class PthArchive {
 public:
  /// Throws WeightsError where the file is not such a zip: no zip at all, another kind of zip, TorchScript, or big-endian.
  explicit PthArchive(const std::filesystem::path& path);

  /// The bytes of <folder>/<name>, checked against the zip's checksum.
  FileBytes read(std::string_view name);
  bool contains(std::string_view name) const;
  const std::string& origin() const { return origin_; }
  size_t file_size() const { return file_size_; }

 private:
  [[noreturn]] void fail(std::string_view why, std::string_view hint = "was its download or its copy cut off?") const;
  void find_folder();
  FileBytes unpack(const std::string& path, uint64_t index, uint64_t size);

  struct Closer {
    void operator()(zip* archive) const;
  };
  std::string origin_;
  size_t file_size_ = 0;
  uint64_t budget_ = 0;
  FileBytes mapped_;
  std::unordered_map<std::string, size_t> stored_;  // offsets
  std::string folder_;                              // with the slash at the end
  std::unique_ptr<zip, Closer> zip_;
};

}  // namespace mirilla::weights
