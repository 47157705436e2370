// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/pictures/picture.h"
#include "kernels/core/philox.h"

/// The procedural data set: pictures with a known reason for their class, drawn from a seed.
///
/// Every picture is one stage (sky, hills, ground, clutter, light) with one exhibit in a box. The stage, its colours and the box
/// come from the same distribution for every class, so only the form of the exhibit shows the class; the mask says where the exhibit is.
namespace mirilla::data {

/// The names of the Intel image classification set, in its order.
inline constexpr std::array<std::string_view, 6> kSceneClasses = {"buildings", "forest", "glacier", "mountain", "sea", "street"};

enum class SceneClass : int { kBuildings, kForest, kGlacier, kMountain, kSea, kStreet };

struct Scene {
  Picture picture;            // (size, size, 3)
  std::vector<uint8_t> mask;  // (size, size): 255 where the evidence for the class is, else 0
};

/// The picture number `index` of a class. The same arguments give the same bytes on every machine: random numbers are Philox's under
/// (seed, kScene, class, index), and the arithmetic is +, -, *, / and sqrt on IEEE floats, nothing from libm.
///
/// Throws UsageError unless 16 <= size <= 4096.
Scene draw_scene(SceneClass scene_class, uint64_t seed, uint32_t index, int size);

/// draw_scene with separate arguments for the exhibit's class and the stage's key: the same key with another class gives the same stage, in
/// the same light, with another exhibit in the same box.
Scene compose_scene(SceneClass exhibit, const RandomKey& key, int size);

/// The picture without its evidence: the mask's bounding box, rounded outwards to sixteenths of the picture, is filled from the ring of
/// pixels around it. Nothing inside the box is read, not even the mask's outline: pictures that differ only in their exhibit become equal.
///
/// Throws ShapeError where mask and picture differ in size. An empty mask returns the picture.
Picture paint_over(const Picture& picture, std::span<const uint8_t> mask);

struct ScenesOptions {
  int per_class = 150;      // training pictures of each class
  int test_per_class = -1;  // -1: a fifth of per_class, rounded up
  int size = 128;           // pixels per side
  uint64_t seed = 42;
  int threads = 0;  // 0: as many as the machine has; the result does not depend on it
};

/// The index of the first test picture: far above that of any training picture, so that a larger training part never overlaps the test
/// part.
inline constexpr uint32_t kFirstTestScene = 1u << 24;

struct ScenesReport {
  int train = 0;
  int test = 0;
  double mask_share = 0;  // mean over all pictures of the mask's share
  int64_t bytes = 0;      // of the file
};

struct ScenesArchive {
  std::vector<uint8_t> zip;
  ScenesReport report;
};

/// A zip with train/<class>/<nnnn>.png and test/<class>/<nnnn>.png, and a mask (8-bit grey PNG) for each at masks/<the same path>. The same
/// options give the same bytes, whatever the number of threads. In memory it can be opened with open_source() (data/archive/archive.h).
///
/// Throws UsageError for counts or sizes that are not valid.
ScenesArchive make_scenes(const ScenesOptions& options = {});

/// make_scenes to a file that is written whole or not at all: written under a temporary name and renamed. Throws Error where it cannot be
/// written.
ScenesReport write_scenes(const std::string& path, const ScenesOptions& options = {});

/// The path of a picture's mask in an archive of scenes: "train/sea/0001.png" -> "masks/train/sea/0001.png".
std::string scene_mask_path(std::string_view picture_path);

}  // namespace mirilla::data
