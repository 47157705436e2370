// SPDX-License-Identifier: MIT

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "engine/zip_pack.h"
#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"
#include "kernels/host/threads.h"

namespace mirilla::data {
namespace {

struct SceneFile {
  std::string path;
  SceneClass scene_class;
  uint32_t index;
  std::vector<uint8_t> picture;  // PNG
  std::vector<uint8_t> mask;     // PNG
  double mask_share = 0;
};

std::vector<SceneFile> list_files(const ScenesOptions& options, int tests) {
  std::vector<SceneFile> files;
  for (const auto& [part, count, first] : {std::tuple("train", options.per_class, 0u), std::tuple("test", tests, kFirstTestScene)}) {
    for (size_t c = 0; c < kSceneClasses.size(); ++c) {
      for (int i = 0; i < count; ++i) {
        files.push_back({.path = fmt::format("{}/{}/{:04}.png", part, kSceneClasses[c], i),
                         .scene_class = static_cast<SceneClass>(c),
                         .index = first + static_cast<uint32_t>(i)});
      }
    }
  }
  return files;
}

void draw_file(SceneFile& file, const ScenesOptions& options) {
  const Scene scene = draw_scene(file.scene_class, options.seed, file.index, options.size);
  const auto covered = std::count(scene.mask.begin(), scene.mask.end(), uint8_t{255});
  file.mask_share = static_cast<double>(covered) / static_cast<double>(scene.mask.size());
  file.picture = encode_png(scene.picture);
  file.mask = encode_png_grey(scene.mask, options.size, options.size);
}

// Draws each file on some thread. Which one does not matter: files do not depend on each other.
void draw_files(std::vector<SceneFile>& files, const ScenesOptions& options) {
  const int count = options.threads > 0 ? options.threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      for (size_t i = next++; i < files.size(); i = next++) draw_file(files[i], options);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  };
  for (std::thread& thread : start_threads(count, work)) thread.join();
  if (failure) std::rethrow_exception(failure);
}

// PNGs are compressed already.
std::vector<uint8_t> pack(const std::vector<SceneFile>& files) {
  std::vector<ZipEntry> entries;
  for (const SceneFile& file : files) {
    entries.push_back({file.path, std::as_bytes(std::span(file.picture))});
    entries.push_back({scene_mask_path(file.path), std::as_bytes(std::span(file.mask))});
  }
  return pack_zip(entries);
}

}  // namespace

ScenesArchive make_scenes(const ScenesOptions& options) {
  const int tests = options.test_per_class >= 0 ? options.test_per_class : (options.per_class + 4) / 5;
  constexpr int kMost = 1'000'000;
  if (options.per_class < 1 || options.per_class > kMost || tests > kMost) {
    throw UsageError(fmt::format("scenes: expected 1 to {1} pictures per class, got {0}", options.per_class, kMost));
  }
  std::vector<SceneFile> files = list_files(options, tests);
  draw_files(files, options);

  ScenesArchive archive;
  archive.zip = pack(files);
  const int classes = static_cast<int>(kSceneClasses.size());
  archive.report.train = classes * options.per_class;
  archive.report.test = classes * tests;
  archive.report.bytes = static_cast<int64_t>(archive.zip.size());
  for (const SceneFile& file : files) archive.report.mask_share += file.mask_share / static_cast<double>(files.size());
  return archive;
}

ScenesReport write_scenes(const std::string& path, const ScenesOptions& options) {
  const ScenesArchive archive = make_scenes(options);
  write_atomically(path, archive.zip);
  return archive.report;
}

std::string scene_mask_path(std::string_view picture_path) {
  const size_t slash = picture_path.rfind('/'), dot = picture_path.rfind('.');
  const bool extension = dot != std::string_view::npos && (slash == std::string_view::npos || dot > slash);
  return fmt::format("masks/{}.png", extension ? picture_path.substr(0, dot) : picture_path);
}

}  // namespace mirilla::data
