// SPDX-License-Identifier: MIT
// No text of a library reaches the user: damaged files, invalid options and environment variables, places that cannot be read.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/apps/expectations.h"
#include "weights/read.h"
#include "weights/safetensors.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;

class RawText : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made = std::make_unique<Folder>();
    save_small_model(*made / "model.safetensors", {"sea", "street"});
    draw_photos(fs::path(*made / "photos"), {"sea", "street"}, 4);
    state = std::make_unique<weights::StateDict>(weights::read_weights(*made / "model.safetensors"));
  }
  static void TearDownTestSuite() {
    state.reset();
    made.reset();
  }
  static std::string model() { return *made / "model.safetensors"; }
  static std::string photo() { return *made / "photos/sea/0.png"; }
  static std::string data() { return *made / "photos"; }

  // The model's names with another value in the metadata, which is checked before the tensors, so tensors are not needed.
  std::string with_metadata(const std::string& key, const std::string& value) const {
    weights::StateDict changed;
    for (const auto& [name, array] : *state)
      changed.add(name, name == "head.8.weight"
                            ? array
                            : weights::Array::copy_of(array.dtype(), Shape{}, array.bytes().first(size_of(array.dtype()))));
    changed.metadata = state->metadata;
    changed.metadata[key] = value;
    const std::string path = folder_ / "changed.safetensors";
    weights::write_safetensors(path, changed);
    return path;
  }

  Folder folder_;
  inline static std::unique_ptr<Folder> made;
  inline static std::unique_ptr<weights::StateDict> state;
};

TEST_F(RawText, OfDamagedMetadata) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong{
      {"vocabulary", {"", "sea", "[1,2]", "[\"sea\"", "{}", "[]", "null", "[\"sea\",3]", "3e999"}},
      {"resize", {"", "x", "1e300", "99999999999999999999", "-1", "0", "1.5", "true", "null", "[]", "2147483648", "18446744073709551615"}},
      {"size", {"", "abc", "1e3", "-5", "16385", "\"32\""}},
      {"mean", {"", "[]", "[0,0]", "[0,0,\"x\"]", "[0,0,0,0]", "[1e300,0,0]", "{}", "nan"}},
      {"std", {"", "[0,0,0]", "[1,1]", "[1,1,-1]", "[1e-300,1,1]", "[1,1,null]"}}};
  for (const auto& [key, values] : wrong)
    for (const std::string& value : values) {
      SCOPED_TRACE(key + " = " + value);
      expect_failure(run({"predict", with_metadata(key, value), photo()}), 1, {"changed.safetensors", "'" + key + "'"});
    }
}

TEST_F(RawText, OfACutOrChangedModelFile) {
  const std::string whole = slurp(model());
  for (const size_t bytes : {size_t{1}, size_t{7}, size_t{8}, size_t{9}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    spill(folder_ / "cut.safetensors", whole.substr(0, bytes));
    expect_failure(run({"summary", folder_ / "cut.safetensors"}), 1, {"cut.safetensors"});
  }
  for (const char* header : {"{", "[]", "{\"a\":1}", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
                             "{\"a\":{\"dtype\":\"F32\",\"shape\":[1e300],\"data_offsets\":[0,4]}}", "{\"a\\ud800\":{}}", "\xff\xfe"}) {
    const std::string text = header;
    std::string bytes(8, '\0');
    bytes[0] = static_cast<char>(text.size());
    spill(folder_ / "header.safetensors", bytes + text);
    expect_failure(run({"summary", folder_ / "header.safetensors"}), 1, {"header.safetensors"});
  }
  const std::string pth = slurp(std::string(MIRILLA_SOURCE_DIR) + "/tests/oracle/weights/plain.pth");
  for (const size_t bytes : {pth.size() / 4, pth.size() / 2, pth.size() - 10}) {
    spill(folder_ / "cut.pth", pth.substr(0, bytes));
    expect_failure(run({"summary", folder_ / "cut.pth"}), 1, {"cut.pth"});
  }
  std::string flipped = pth;
  for (size_t i = flipped.size() / 3; i < flipped.size() / 2; ++i) flipped[i] = static_cast<char>(flipped[i] ^ 0x5a);
  spill(folder_ / "flipped.pth", flipped);
  expect_failure(run({"summary", folder_ / "flipped.pth"}), 1, {"flipped.pth"});
}

TEST_F(RawText, OfADamagedConfigBesideTheModel) {
  fs::create_directories(folder_ / "run");
  fs::copy_file(model(), folder_ / "run/model.safetensors");
  const auto evaluated = [&](const std::string& config) {
    spill(folder_ / "run/config.json", config);
    return run({"eval", folder_ / "run/model.safetensors", "--data", data(), "--part", "valid"});
  };
  for (const char* config : {"", "[]", "\xff", "{\"limit\": 1", "{\"limit\": -1}", "{\"limit\": 1e300}", "{\"limit\": true}",
                             "{\"limit\": 99999999999999999999}", "{\"valid_pct\": 2}", "{\"valid_pct\": null}", "{\"split_file\": 3}"}) {
    SCOPED_TRACE(config);
    expect_failure(evaluated(config), 1, {"config.json"});
  }
  expect_failure(evaluated("{\"split_file\": \"/nowhere/at/all.txt\"}"), 1, {"/nowhere/at/all.txt"});
  expect_failure(evaluated("{\"valid_pct\": " + std::string(100'000, '[') + "}"), 1, {"config.json"});
}

TEST_F(RawText, OfSplitFiles) {
  spill(folder_ / "empty.txt", "");
  spill(folder_ / "bytes.txt", std::string("\xff\xfe\0\x01\n", 5));
  spill(folder_ / "long.txt", std::string(300'000, 'x'));
  fs::create_directories(folder_ / "folder.txt");
  for (const char* name : {"empty.txt", "bytes.txt", "long.txt", "folder.txt", "missing.txt"}) {
    SCOPED_TRACE(name);
    expect_failure(run({"train", "--data", data(), "--split-file", folder_ / name, "--out", folder_ / "out"}), 1, {});
  }
}

TEST_F(RawText, OfPathsThatCannotBeUsed) {
  const std::string long_name(5000, 'x'), circle = folder_ / "circle";
  fs::create_symlink(circle, circle);
  spill(folder_ / "file", "text");
  for (const std::string& path : {long_name, std::string("/") + std::string(300, 'y'), circle, folder_ / "file/below",
                                  std::string("/dev/null"), folder_ / "\xff\xfe"}) {
    SCOPED_TRACE(path.substr(0, 40));
    for (const std::vector<std::string>& command : {std::vector<std::string>{"summary", path},
                                                    {"predict", model(), path},
                                                    {"gradcam", model(), path, "--out", folder_ / "why.png"},
                                                    {"explore", model(), path, "--out", folder_ / "page.html"},
                                                    {"eval", model(), "--data", path},
                                                    {"diff", path, model(), photo()},
                                                    {"train", "--data", path, "--out", folder_ / "out"},
                                                    {"train", "--data", data(), "--weights", path, "--out", folder_ / "out"}}) {
      const Outcome outcome = run(command);
      EXPECT_NE(outcome.code, 0) << command[0];
      expect_failure(outcome, outcome.code == 2 ? 2 : 1, {});
    }
    for (const std::vector<std::string>& command : {std::vector<std::string>{"gradcam", model(), photo(), "--out", path + "/deep/x.png"},
                                                    {"scenes", "--per-class", "1", "--size", "16", "--out", path + "/x.zip"},
                                                    {"train", "--data", data(), "--out", path + "/\n"}}) {
      const Outcome outcome = run(command);
      EXPECT_NE(outcome.code, 0) << command[0];
      expect_failure(outcome, outcome.code == 2 ? 2 : 1, {});
    }
  }
}

TEST_F(RawText, OfNonsenseInNames) {
  for (const char* names : {"", ",", ",,,", "a", "a,b,c", "\xff,\xfe"}) {
    SCOPED_TRACE(names);
    const Outcome outcome = run({"predict", model(), photo(), "--json", "--vocab", names});
    expect_no_raw_text(outcome);
    if (outcome.code != 0) expect_failure(outcome, 2, {});
  }
  for (const std::vector<std::string>& words : {std::vector<std::string>{"--layer", "layer99"},
                                                {"--layer", "model[99999999999999999999]"},
                                                {"--layer", "**"},
                                                {"--layer", "["},
                                                {"--layer", ""},
                                                {"--class", "99999999999999999999"},
                                                {"--class", "-1"},
                                                {"--class", "\xff"},
                                                {"--minus", "sea"},
                                                {"--device", "cuda:x"},
                                                {"--device", "cpu:1"},
                                                {"--device", "cpu:99999999999"},
                                                {"--device", ":"},
                                                {"--colormap", ""}}) {
    SCOPED_TRACE(words[0] + " " + words[1]);
    const Outcome outcome = run({"gradcam", model(), photo(), words[0], words[1], "--out", folder_ / "why.png"});
    EXPECT_NE(outcome.code, 0);
    expect_failure(outcome, outcome.code == 2 ? 2 : 1, {});
  }
}

// Runs with one variable set.
Outcome run_with(const char* name, const char* value, const std::vector<std::string>& command) {
  ::setenv(name, value, 1);
  Outcome outcome = run(command);
  ::unsetenv(name);
  return outcome;
}

TEST_F(RawText, OfTheEnvironment) {
  for (const char* name : {"MIRILLA_CPU_ISA", "MIRILLA_CHECK", "MIRILLA_PLAN_STORE", "MIRILLA_TF32", "MIRILLA_DETERMINISTIC",
                           "MIRILLA_WORKSPACE", "MIRILLA_VENDOR", "MIRILLA_CUDA_SYNC"})
    for (const char* value : {"99999999999999999999", "\xff"}) {
      SCOPED_TRACE(std::string(name) + "=" + value);
      const Outcome outcome = run_with(name, value, {"predict", model(), photo()});
      expect_no_raw_text(outcome);
      if (outcome.code != 0) expect_failure(outcome, outcome.code == 2 ? 2 : 1, {});
    }
}

TEST_F(RawText, OfAFileThatMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  spill(folder_ / "locked.safetensors", "x");
  fs::permissions(folder_ / "locked.safetensors", fs::perms::none);
  expect_failure(run({"summary", folder_ / "locked.safetensors"}), 1, {"locked.safetensors", "you have no permission for it"});
}

}  // namespace
}  // namespace mirilla::apps
