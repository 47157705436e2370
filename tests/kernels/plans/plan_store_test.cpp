// SPDX-License-Identifier: MIT
#include "kernels/plans/plan_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "kernels/core/error.h"

namespace mirilla {
namespace {

namespace fs = std::filesystem;

const PlanOwner kOwner{"NVIDIA H200", "13.0", "cuDNN", "9.19.0"};

// A folder for each test, removed with it.
class PlanStoreTest : public ::testing::Test {
 protected:
  PlanStoreTest() {
    std::string name = (fs::path(::testing::TempDir()) / "mirilla_plans.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~PlanStoreTest() override { fs::remove_all(folder_); }

  fs::path file() const { return folder_ / "cache" / "plans.json"; }
  void write(const std::string& text) const {
    fs::create_directories(file().parent_path());
    std::ofstream(file(), std::ios::binary) << text;
  }
  std::string contents() const {
    std::ostringstream text;
    text << std::ifstream(file(), std::ios::binary).rdbuf();
    return text.str();
  }
  // A store opened on `file()` gives one note with all these words; then a put repairs the file.
  void expect_built_anew(const std::vector<std::string>& words) const {
    PlanStore store(file(), kOwner);
    EXPECT_EQ(store.size(), 0u);
    const std::vector<std::string> notes = store.take_notes();
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_EQ(notes[0].find('\n'), std::string::npos);
    for (const std::string& word : words) EXPECT_NE(notes[0].find(word), std::string::npos) << notes[0];
    store.put("key", {"plan", 1});
    PlanStore again(file(), kOwner);
    EXPECT_EQ(again.find("key"), (StoredPlan{"plan", 1}));
    EXPECT_TRUE(again.take_notes().empty());
  }

  fs::path folder_;
};

TEST_F(PlanStoreTest, GivesBackWhatAnEarlierRunPut) {
  const StoredPlan odd{"{\"a\": [1, 2]}\n\"\\ ñ", 0.0125};
  {
    PlanStore store(file(), kOwner);
    EXPECT_FALSE(store.find("conv").has_value());
    store.put("conv", {"first", 2});
    store.put("conv", odd);
    store.put("product", {"", 0});
    EXPECT_TRUE(store.take_notes().empty());
  }
  PlanStore store(file(), kOwner);
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.find("conv"), odd);
  EXPECT_EQ(store.find("product"), (StoredPlan{"", 0}));
  EXPECT_FALSE(store.find("con").has_value());
}

TEST_F(PlanStoreTest, LeavesNothingBesideTheFileButItsLock) {
  PlanStore(file(), kOwner).put("key", {"plan", 1});
  for (const auto& entry : fs::directory_iterator(file().parent_path()))
    EXPECT_TRUE(entry.path() == file() || entry.path() == file().string() + ".lock") << entry.path();
}

TEST_F(PlanStoreTest, WithoutAPathKeepsPlansForTheRunOnly) {
  PlanStore store({}, kOwner);
  store.put("key", {"plan", 1});
  EXPECT_EQ(store.find("key"), (StoredPlan{"plan", 1}));
  EXPECT_TRUE(store.take_notes().empty());
}

TEST_F(PlanStoreTest, BuildsADamagedFileAnew) {
  PlanStore(file(), kOwner).put("key", {"a plan of some length", 1});
  const std::string whole = contents();
  for (const std::string& text : {std::string("no JSON"), std::string(), whole.substr(0, whole.size() / 2), std::string("[1]"),
                                  std::string("{}"), std::string(R"({"mirilla_plans": 1, "owners": 3})"),
                                  std::string(R"({"mirilla_plans": 1, "owners": [{"gpu": 1}]})"), std::string(64, '\0')}) {
    write(text);
    expect_built_anew({"plans.json", "is damaged", "built anew"});
  }
  write(R"({"mirilla_plans": 2, "owners": []})");
  expect_built_anew({"plans.json", "another format"});
}

TEST_F(PlanStoreTest, RefusesAFileThatIsTooLargeWithoutReadingIt) {
  write("");
  fs::resize_file(file(), PlanStore::kMostBytes + 1);  // sparse
  expect_built_anew({"67108865 bytes", "built anew"});
}

TEST_F(PlanStoreTest, DropsPlansOfAnotherDriverOrVersion) {
  for (PlanOwner before : {PlanOwner{"NVIDIA H200", "12.9", "cuDNN", "9.19.0"}, PlanOwner{"NVIDIA H200", "13.0", "cuDNN", "9.18.1"}}) {
    fs::remove(file());
    PlanStore(file(), before).put("key", {"old", 1});
    expect_built_anew({before.version, before.driver, "NVIDIA H200", "9.19.0", "13.0"});
    EXPECT_EQ(contents().find("old"), std::string::npos);
  }
}

TEST_F(PlanStoreTest, KeepsThePlansOfOtherGpusAndLibraries) {
  const PlanOwner gpu{"NVIDIA H100", "12.9", "cuDNN", "9.18.1"}, library{"NVIDIA H200", "13.0", "cuBLASLt", "13.1.0"};
  PlanStore(file(), gpu).put("key", {"of another GPU", 1});
  PlanStore(file(), library).put("key", {"of another library", 2});
  PlanStore store(file(), kOwner);
  EXPECT_FALSE(store.find("key").has_value());
  EXPECT_TRUE(store.take_notes().empty());
  store.put("key", {"mine", 3});
  EXPECT_EQ(PlanStore(file(), gpu).find("key"), (StoredPlan{"of another GPU", 1}));
  EXPECT_EQ(PlanStore(file(), library).find("key"), (StoredPlan{"of another library", 2}));
}

TEST_F(PlanStoreTest, LosesNoPlanWhereTwoWrite) {
  PlanStore one(file(), kOwner), other(file(), kOwner);  // both have read the empty store
  constexpr int kEach = 20;
  const auto put_all = [](PlanStore& store, const std::string& prefix) {
    for (int i = 0; i < kEach; ++i) store.put(prefix + std::to_string(i), {prefix, static_cast<double>(i)});
  };
  std::thread first([&] { put_all(one, "one "); }), second([&] { put_all(other, "other "); });
  first.join();
  second.join();
  const PlanStore merged(file(), kOwner);
  EXPECT_EQ(merged.size(), size_t{2 * kEach});
  for (int i = 0; i < kEach; ++i) {
    EXPECT_TRUE(merged.find("one " + std::to_string(i)).has_value()) << i;
    EXPECT_TRUE(merged.find("other " + std::to_string(i)).has_value()) << i;
  }
}

TEST_F(PlanStoreTest, WorksWhereNothingCanBeWrittenAndSaysSoOnce) {
  write("a file where a folder should be");
  PlanStore store(file() / "plans.json", kOwner);
  for (const char* key : {"a", "b", "c"}) store.put(key, {"plan", 1});
  EXPECT_EQ(store.size(), 3u);
  EXPECT_EQ(store.find("b"), (StoredPlan{"plan", 1}));
  const std::vector<std::string> notes = store.take_notes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("is not kept"), std::string::npos) << notes[0];
  EXPECT_TRUE(store.take_notes().empty());
  EXPECT_EQ(contents(), "a file where a folder should be");
}

TEST_F(PlanStoreTest, GoesThroughACheckpointAndTakesNobodyElsesPlans) {
  PlanStore trained({}, kOwner);
  trained.put("a", {"chosen there", 1});
  trained.put("b", {"chosen there", 2});
  PlanStore resumed({}, kOwner);
  resumed.put("b", {"chosen here", 3});
  resumed.put("c", {"chosen here", 4});
  EXPECT_EQ(resumed.adopt(trained.text()), 2u);
  EXPECT_EQ(resumed.find("a"), (StoredPlan{"chosen there", 1}));
  EXPECT_EQ(resumed.find("b"), (StoredPlan{"chosen there", 2}));
  EXPECT_EQ(resumed.find("c"), (StoredPlan{"chosen here", 4}));
  PlanStore elsewhere({}, {"NVIDIA H100", "13.0", "cuDNN", "9.19.0"});
  EXPECT_EQ(elsewhere.adopt(trained.text()), 0u);
  EXPECT_EQ(elsewhere.size(), 0u);
  EXPECT_THROW(elsewhere.adopt("no plans"), WeightsError);
}

class PlanStorePath : public ::testing::Test {
 protected:
  static std::string with(const char* store, const char* cache, const char* home) {
    const std::pair<const char*, const char*> wanted[] = {{"MIRILLA_PLAN_STORE", store}, {"XDG_CACHE_HOME", cache}, {"HOME", home}};
    std::vector<std::pair<const char*, std::string>> before;
    for (const auto& [name, value] : wanted) {
      before.emplace_back(name, std::getenv(name) ? std::getenv(name) : "");
      ::setenv(name, value, 1);
    }
    const std::string path = plan_store_path().string();
    for (const auto& [name, value] : before) value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
    return path;
  }
};

TEST_F(PlanStorePath, IsTheFirstOfWhatTheEnvironmentNames) {
  EXPECT_EQ(with("/a/b.json", "/cache", "/home/ana"), "/a/b.json");
  EXPECT_EQ(with("off", "/cache", "/home/ana"), "");
  EXPECT_EQ(with("", "/cache", "/home/ana"), "/cache/mirilla/plans.json");
  EXPECT_EQ(with("", "", "/home/ana"), "/home/ana/.cache/mirilla/plans.json");
  EXPECT_EQ(with("", "relative", ""), "");
}

}  // namespace
}  // namespace mirilla
