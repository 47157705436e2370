// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// Which files commands may overwrite. The same rules for all commands, checked before any work begins:
///
///   - a file that the command reads is never overwritten, under whatever name or link;
///   - an existing file is replaced only if it is empty or of the kind that the command writes (a picture by a picture, a model of ours
///     by a model);
///   - no two results go to the same file;
///   - results that a later run would read as pictures of a class are not written among the classes' folders.
namespace mirilla::apps {

/// The kind of file that a command writes, and how to recognise it in an existing file.
struct FileKind {
  std::string name;  // "a PNG picture"
  std::function<bool(const std::filesystem::path&)> is_one;
};
FileKind png_file();
FileKind npy_file();
FileKind page_file();
FileKind model_file();
FileKind trace_file();
FileKind pth_file();
FileKind onnx_file();
FileKind weights_file();  // .safetensors of any kind
FileKind scenes_file();
FileKind config_file();
/// Text with this beginning.
FileKind text_file(std::string name, std::string beginning);

/// The outputs of one command, checked when they are added.
class Outputs {
 public:
  /// All files and folders that the command reads; "" for none.
  explicit Outputs(std::vector<std::filesystem::path> inputs) : inputs_(std::move(inputs)) {}

  /// Throws UsageError if this file must not be overwritten, Error if it cannot be written: its folder is missing, or it is a folder.
  /// `option` is the option that names it.
  void add(std::string_view option, const std::filesystem::path& file, const FileKind& kind);

 private:
  std::vector<std::filesystem::path> inputs_;
  std::vector<std::filesystem::path> planned_;
};

/// Throws UsageError if `data` is a folder of classes and `out`, a folder for results, is this folder, is one of its classes or would be
/// one, in any part of it.
void keep_out_of_classes(std::string_view option, const std::filesystem::path& out, const std::filesystem::path& data);

}  // namespace mirilla::apps
