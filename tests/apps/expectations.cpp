// SPDX-License-Identifier: MIT
#include "tests/apps/expectations.h"

#include <gtest/gtest.h>

#include "data/scenes/scenes.h"
#include "data/write/png_write.h"
#include "kernels/devices.h"
#include "nn/files/model_file.h"

namespace mirilla::apps {

namespace fs = std::filesystem;

void expect_failure(const Outcome& outcome, int code, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.code, code) << outcome.out << outcome.err;
  const std::string lines = "\n" + outcome.err;
  const size_t sentence = lines.find("\nmirilla: ");
  EXPECT_NE(sentence, std::string::npos) << outcome.err;
  EXPECT_EQ(lines.find("\nmirilla: ", sentence + 1), std::string::npos) << "one sentence, not two:\n" << outcome.err;
  for (const std::string& word : words)
    EXPECT_NE(outcome.err.find(word), std::string::npos) << "'" << word << "' is missing in\n" << outcome.err;
  expect_no_raw_text(outcome);
}

void expect_no_raw_text(const Outcome& outcome) {
  for (const char* raw : {"json.exception",
                          "filesystem error",
                          "std::",
                          "stoi",
                          "stod",
                          "basic_string",
                          "vector::",
                          "what():",
                          "terminate called",
                          "bad_alloc",
                          "No such file",
                          "Permission denied",
                          "Is a directory",
                          "Not a directory",
                          "File exists",
                          "Too many",
                          "No space left",
                          "Invalid argument",
                          "Bad file descriptor",
                          "Broken pipe",
                          "Read-only",
                          "File name too long",
                          "Resource temporarily",
                          "Not a zip",
                          "Zip archive inconsistent",
                          "CRC error",
                          "Could not convert",
                          "not in {",
                          "is required",
                          "requires ",
                          "excludes ",
                          "were not expected",
                          "was not expected",
                          "libzip",
                          "nlohmann",
                          "dnnl"})
    EXPECT_EQ((outcome.out + outcome.err).find(raw), std::string::npos) << "'" << raw << "' is a library's text:\n" << outcome.err;
}

void expect_no_leftovers(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    EXPECT_EQ(entry.path().string().find(".part"), std::string::npos) << entry.path();
}

void draw_photos(const fs::path& folder, const std::vector<std::string>& classes, int each) {
  for (size_t c = 0; c < classes.size(); ++c)
    for (int i = 0; i < each; ++i) {
      fs::create_directories(folder / classes[c]);
      const auto scene = data::draw_scene(static_cast<data::SceneClass>(c), 1, static_cast<uint32_t>(i), 32);
      data::write_png(folder / classes[c] / (std::to_string(i) + ".png"), scene.picture);
    }
}

void save_small_model(const fs::path& path, const std::vector<std::string>& classes) {
  const nn::ResNet model({.arch = "resnet18", .classes = static_cast<int>(classes.size()), .seed = 1}, {.device = open_device("cpu")});
  nn::save_model(path, model, {.vocabulary = classes, .resize = 64, .size = 64});
}

}  // namespace mirilla::apps
