// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::cuda::vendor {

/// major * 10000 + minor * 100 + patch, as cuDNN 9 and cuBLAS count: 91900 is 9.19.0.
using LibraryVersion = int;
std::string version_text(LibraryVersion version);

/// The requirements on a library, checked before it is used.
struct LibraryWanted {
  std::string name;                                 // "cuDNN"
  std::vector<std::string> files;                   // "libcudnn.so.9", "libcudnn.so": tried in this order in each place
  std::string version_function;                     // size_t f(): "cudnnGetVersion"
  LibraryVersion oldest = 0;                        // same major, and not older
  std::string place_variable;                       // "MIRILLA_CUDNN_PATH": a folder, or the file itself
  std::vector<std::filesystem::path> folders = {};  // where to look after the loader's own path
  std::string package;                              // the pip package: "nvidia-cudnn-cu13"
};

/// A shared library from NVIDIA, opened when it is first needed, so that programs start without it; never closed.
class Library {
 public:
  /// Looks at the place that `place_variable` names, and only there if it is set; else in the loader's path (LD_LIBRARY_PATH, the system's
  /// folders), then in `folders`. Takes the first file that exists. Throws DeviceError with one sentence where there is none, where it does
  /// not open, or where its version is of another major or too old; the hint says what to install and how to run without it.
  static Library open(const LibraryWanted& wanted);
  /// A stand-in that is linked into the program. Its name tells it from the real library, also in the plan store; it finds no functions.
  static Library linked(std::string name, LibraryVersion version);

  const std::string& name() const { return name_; }
  LibraryVersion version() const { return version_; }
  /// The path at which the loader found it.
  const std::string& path() const { return path_; }

  /// Throws DeviceError naming the library, its version and the function it lacks.
  template <class Function>
  Function* function(const std::string& symbol) const {
    return reinterpret_cast<Function*>(find(symbol));
  }

 private:
  Library() = default;
  void* find(const std::string& symbol) const;

  std::string name_, path_, hint_;
  LibraryVersion version_ = 0;
  void* handle_ = nullptr;
};

/// $CUDA_HOME/lib64, $CUDA_PATH/lib64 and /usr/local/cuda/lib64, then `beside_headers`, the libraries that belong to the headers of the
/// build.
std::vector<std::filesystem::path> library_folders(const std::filesystem::path& beside_headers);

}  // namespace mirilla::cuda::vendor
