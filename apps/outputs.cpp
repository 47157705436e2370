// SPDX-License-Identifier: MIT
#include "apps/outputs.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/items.h"
#include "data/scenes/scenes.h"
#include "kernels/core/error.h"
#include "nn/inspect/trace.h"
#include "weights/read.h"
#include "weights/safetensors.h"

namespace mirilla::apps {

namespace fs = std::filesystem;

namespace {

std::string first_bytes(const fs::path& file, size_t count) {
  std::string bytes(count, '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<size_t>(stream.gcount()));
  return bytes;
}

// Recognised by its weights; a file without weights is not one.
FileKind kind_of_weights(std::string name, std::function<bool(const weights::StateDict&)> is_one) {
  return {std::move(name), [is_one = std::move(is_one)](const fs::path& file) {
            try {
              return is_one(weights::read_weights(file));
            } catch (const Error&) {
              return false;
            }
          }};
}

// train/sea/0000.png, test/..., and masks/ of both.
bool is_scene(std::string_view path) {
  if (path.starts_with("masks/")) path.remove_prefix(6);
  if (!path.starts_with("train/") && !path.starts_with("test/")) return false;
  path.remove_prefix(path.find('/') + 1);
  return std::find(data::kSceneClasses.begin(), data::kSceneClasses.end(), path.substr(0, path.find('/'))) != data::kSceneClasses.end() &&
         path.ends_with(".png");
}

bool holds_scenes(const fs::path& file) {
  try {
    const auto source = data::open_source(file);
    return std::all_of(source->entries().begin(), source->entries().end(), [](const data::Entry& entry) { return is_scene(entry.path); });
  } catch (const Error&) {
    return false;
  }
}

bool is_config(const fs::path& file) {
  std::ifstream stream(file);
  const nlohmann::json config = nlohmann::json::parse(stream, nullptr, false);
  return config.is_object() && config.contains("arch") && config.contains("vocab");
}

// Compares the file system's numbers, so links, hard links and other spellings are the same file; false if either is missing.
bool is_same(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return fs::equivalent(a, b, ignored);
}

// The same name for all spellings of a file that does not exist yet.
fs::path canonical_name(const fs::path& path) {
  std::error_code failed;
  fs::path name = fs::weakly_canonical(fs::absolute(path, failed), failed);
  return failed ? path : name;
}

// The path of `out` below `folder`, "." for the folder itself; empty if it is elsewhere.
std::optional<fs::path> path_below(const fs::path& out, const fs::path& folder) {
  fs::path rest = ".";
  for (fs::path at = canonical_name(out);; at = at.parent_path()) {
    if (is_same(at, folder)) return rest.lexically_normal();
    if (at == at.parent_path()) return std::nullopt;
    rest = at.filename() / rest;
  }
}

bool is_below(const fs::path& path, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

// The folders that hold classes' folders: "" of sea/1.jpg, train of train/sea/1.jpg.
std::set<fs::path> folders_of_classes(const fs::path& data) {
  std::set<fs::path> folders;
  try {
    for (const data::Item& item : data::find_items(*data::open_source(data), {.part = std::nullopt, .refuse_empty_folders = false}).items)
      folders.insert(fs::path(item.path).parent_path().parent_path());
  } catch (const DataError&) {  // the code that opens the data reports it
  }
  return folders;
}

}  // namespace

FileKind text_file(std::string name, std::string beginning) {
  return {std::move(name),
          [beginning = std::move(beginning)](const fs::path& file) { return first_bytes(file, beginning.size()) == beginning; }};
}
FileKind png_file() { return text_file("a PNG picture", "\x89PNG\r\n\x1a\n"); }
FileKind npy_file() { return text_file("a NumPy array", "\x93NUMPY"); }
FileKind page_file() {
  constexpr size_t kHead = 4096;
  return {"a page of `mirilla explore`", [](const fs::path& file) {
            const std::string head = first_bytes(file, kHead);
            return head.starts_with("<!doctype html>") && head.find("<title>Mirilla") != std::string::npos;
          }};
}
FileKind scenes_file() { return {"a zip of scenes", holds_scenes}; }
FileKind config_file() { return {"the config.json of a training", is_config}; }
FileKind trace_file() { return kind_of_weights("a trace of `mirilla diff`", nn::is_trace); }
FileKind onnx_file() { return text_file("an ONNX model of `mirilla weights`", "\x08\x08\x12\x07mirilla"); }
FileKind pth_file() {
  const FileKind zip = text_file("", "PK\x03\x04"),
                 any = kind_of_weights("a file of torch.save", [](const weights::StateDict&) { return true; });
  return {any.name, [zip, any](const fs::path& file) { return zip.is_one(file) && any.is_one(file); }};
}
FileKind weights_file() {
  return {"a safetensors file", [](const fs::path& file) {
            try {
              weights::read_safetensors(file);
              return true;
            } catch (const Error&) {
              return false;
            }
          }};
}
FileKind model_file() {
  return kind_of_weights("a model of `mirilla train`", [](const weights::StateDict& state) {
    const auto format = state.metadata.find("format");
    return format != state.metadata.end() && format->second == "mirilla";
  });
}

void Outputs::add(std::string_view option, const fs::path& file, const FileKind& kind) {
  const std::string name = file.string();
  for (const fs::path& input : inputs_)
    if (is_same(file, input))
      throw UsageError(fmt::format("'{}' cannot be written: this command reads it{}", name,
                                   input == file ? "" : fmt::format(" as '{}'", input.string())),
                       fmt::format("choose another place with {}", option));
  const fs::path canonical = canonical_name(file);
  if (std::find(planned_.begin(), planned_.end(), canonical) != planned_.end())
    throw UsageError(fmt::format("two results cannot be written to the same file '{}'", name),
                     fmt::format("choose another place with {}", option));
  planned_.push_back(canonical);

  std::error_code ignored;
  const fs::file_status there = fs::status(file, ignored);
  if (fs::is_directory(there)) throw Error(fmt::format("'{}' cannot be written as {}: it is a folder", name, kind.name));
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, ignored))
    throw Error(fmt::format("'{}' cannot be written: there is no folder '{}'", name, folder.string()));
  if (!fs::is_regular_file(there) || fs::is_empty(file, ignored) || kind.is_one(file)) return;
  throw UsageError(fmt::format("'{}' already exists and is not {}, so it is not overwritten", name, kind.name),
                   fmt::format("choose another place with {}, or remove the file if it is not needed", option));
}

void keep_out_of_classes(std::string_view option, const fs::path& out, const fs::path& data) {
  std::error_code ignored;
  if (!fs::is_directory(data, ignored)) return;
  const std::optional<fs::path> below = path_below(out, data);
  if (!below) return;
  if (std::any_of(below->begin(), below->end(), [](const fs::path& step) { return step != "." && step.string().starts_with('.'); })) return;
  for (const fs::path& folder : folders_of_classes(data))
    if (is_below(below == "." ? fs::path() : *below, folder))
      throw UsageError(fmt::format("the results cannot go to '{}', which lies among the classes of '{}': the next run would read their "
                                   "pictures as pictures of a class",
                                   out.string(), data.string()),
                       fmt::format("choose a folder elsewhere with {}", option));
}

}  // namespace mirilla::apps
