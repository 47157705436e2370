// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// What commands may write over. One rule for all of them, looked at before any work begins:
///
///   - nothing that the command reads is written over, by whatever name or link it is called;
///   - a file that is there already is replaced where it is empty or what the command writes there (a picture by a picture, a model of ours
///     by a model), and never where it is something else;
///   - no two results go to the same file;
///   - results that a later run would take for pictures of a class do not go among the classes' folders.
namespace mirilla::apps {

/// What a command writes to a file, and how to see whether a file that is there is that.
struct FileKind {
  std::string name;  // "a PNG picture"
  std::function<bool(const std::filesystem::path&)> is_one;
};
FileKind png_file();
FileKind npy_file();
FileKind page_file();
FileKind model_file();
FileKind trace_file();
FileKind scenes_file();
FileKind config_file();
/// Text that begins so.
FileKind text_file(std::string name, std::string beginning);

/// What one command is to write, checked as it is named.
class Outputs {
 public:
  /// All files and folders that the command reads; "" for none.
  explicit Outputs(std::vector<std::filesystem::path> inputs) : inputs_(std::move(inputs)) {}

  /// Throws UsageError where this file is not to be written over, Error where it cannot be written: its folder is missing, or it is one.
  /// `option` is the one that names it.
  void add(std::string_view option, const std::filesystem::path& file, const FileKind& kind);

 private:
  std::vector<std::filesystem::path> inputs_;
  std::vector<std::filesystem::path> planned_;
};

/// Throws UsageError where `data` is a folder of classes and `out`, a folder for results, is it, is one of its classes or would be one, in
/// whatever part of it.
void keep_out_of_classes(std::string_view option, const std::filesystem::path& out, const std::filesystem::path& data);

}  // namespace mirilla::apps
