// SPDX-License-Identifier: MIT
// Thread settings in the environment change no byte of the results, or give a one-sentence error.
#include <gtest/gtest.h>

#include "data/archive/archive.h"
#include "tests/apps/program.h"

namespace mirilla::apps {
namespace {

using Words = std::vector<std::string>;

// A few scenes and a model of them, made with two threads in an environment without thread settings.
class Threads : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* name : {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_MAX_ACTIVE_LEVELS"}) unsetenv(name);
    folder = std::make_unique<Folder>();
    ASSERT_EQ(run({"scenes", "--out", zip(), "--per-class", "4", "--size", "40"}).code, 0);
    ASSERT_EQ(train(2, "two").code, 0);
    ASSERT_EQ(train(1, "one").code, 0);
    evaluated = eval({"--threads", "2"}).out;
    const auto source = data::open_source(zip());
    const std::vector<uint8_t> bytes = source->read("test/sea/0000.png");
    spill(photo(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    predicted = predict({"--threads", "2"}).out;
    ASSERT_NE(evaluated.find("\"loss\""), std::string::npos);
    ASSERT_NE(predicted.find("\"probabilities\""), std::string::npos) << predicted;
  }
  static void TearDownTestSuite() { folder.reset(); }

  static Outcome train(int threads, const std::string& out, const Words& environment = {}) {
    Words words{"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "8", "--epochs", "1", "--out", *folder / out};
    if (threads > 0) words.insert(words.end(), {"--threads", std::to_string(threads)});
    return run(words, environment);
  }
  static Outcome with(Words words, const Words& more, const Words& environment) {
    words.insert(words.end(), more.begin(), more.end());
    return run(words, environment);
  }
  static Outcome eval(const Words& more, const Words& environment = {}) {
    return with({"eval", model("two"), "--data", zip(), "--json"}, more, environment);
  }
  static Outcome predict(const Words& more, const Words& environment = {}) {
    return with({"predict", model("two"), photo(), "--json"}, more, environment);
  }

  static std::string zip() { return *folder / "scenes.zip"; }
  static std::string photo() { return *folder / "photo.png"; }
  static std::string model(const std::string& out) { return *folder / (out + "/model.safetensors"); }
  static std::string bytes_of(const std::string& out) { return slurp(model(out)); }

  inline static std::unique_ptr<Folder> folder;
  inline static std::string evaluated, predicted;
};

TEST_F(Threads, EvalAndPredictGiveTheSameBytesInEveryEnvironment) {
  const std::vector<Words> environments{{"OMP_THREAD_LIMIT=1"},
                                        {"OMP_DYNAMIC=true"},
                                        {"OMP_MAX_ACTIVE_LEVELS=0"},
                                        {"OMP_NUM_THREADS=4,2", "OMP_NESTED=true"},
                                        {"OMP_PROC_BIND=true", "OMP_PLACES=threads"},
                                        {"ONEDNN_PRIMITIVE_CACHE_CAPACITY=0", "ONEDNN_DEFAULT_FPMATH_MODE=ANY"}};
  for (const Words& environment : environments) {
    const Outcome evaluation = eval({}, environment), prediction = predict({}, environment);
    EXPECT_EQ(evaluation.out, evaluated) << environment[0] << evaluation.err;
    EXPECT_EQ(prediction.out, predicted) << environment[0] << prediction.err;
  }
}

TEST_F(Threads, TrainGivesTheBytesOfItsThreads) {
  ASSERT_EQ(train(2, "dynamic", {"OMP_DYNAMIC=true", "OMP_MAX_ACTIVE_LEVELS=0"}).code, 0);
  EXPECT_TRUE(bytes_of("dynamic") == bytes_of("two"));
  const Outcome limited = train(0, "limited", {"OMP_THREAD_LIMIT=1", "OMP_NUM_THREADS=2"});
  ASSERT_EQ(limited.code, 0) << limited.err;
  EXPECT_TRUE(bytes_of("limited") == bytes_of("one"));
  EXPECT_EQ(limited.err, "note: OMP_THREAD_LIMIT leaves 1 of 2 threads\n");
}

// This used to hang: oneDNN's threads waited for one another, and one of them was never started.
TEST_F(Threads, MoreThreadsThanCoresTrainToTheEndAndToCtrlC) {
  const Outcome whole = train(3, "dynamic3", {"OMP_DYNAMIC=true"});
  EXPECT_EQ(whole.code, 0) << whole.err;
  const Folder place;
  Running running({"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "8", "--epochs", "1000", "--threads", "3",
                   "--out", *folder / "stopped"},
                  place.path(), {"OMP_DYNAMIC=true"});
  EXPECT_TRUE(running.wait_for_output("\n0 "));
  running.interrupt();
  EXPECT_EQ(running.wait().code, 130);
}

// The number of spins that libgomp says it will wait for.
long long spins(const Words& environment) {
  Words variables{"OMP_DISPLAY_ENV=verbose"};
  variables.insert(variables.end(), environment.begin(), environment.end());
  const std::string text = run({"--version"}, variables).err;
  const std::string name = "GOMP_SPINCOUNT = '";
  const size_t at = text.find(name);
  EXPECT_NE(at, std::string::npos) << text;
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size()));
}

TEST(Waiting, LastsSomeMicrosecondsBeforeAThreadSleeps) {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) unsetenv(name);
  const long long own = spins({});
  EXPECT_GT(own, 20'000 / 200);  // a spin takes from 5 ns to 200 ns
  EXPECT_LT(own, 20'000 / 5);
  EXPECT_EQ(spins({"GOMP_SPINCOUNT=77"}), 77);
  EXPECT_EQ(spins({"OMP_WAIT_POLICY=passive"}), 0);
  EXPECT_GT(spins({"OMP_WAIT_POLICY=active"}), 1'000'000);
}

TEST_F(Threads, InvalidSettingsAreReported) {
  const Outcome many = eval({"--threads", "1000000"});
  EXPECT_EQ(many.code, 2);
  EXPECT_NE(many.err.find("--threads"), std::string::npos) << many.err;
  const Outcome asked = eval({}, {"OMP_NUM_THREADS=1000000"});
  EXPECT_EQ(asked.code, 1);
  EXPECT_NE(asked.err.find("mirilla: OMP_NUM_THREADS requests 1000000 threads, but this machine allows at most "), std::string::npos)
      << asked.err;
  const Outcome limited = eval({"--threads", "2"}, {"OMP_THREAD_LIMIT=1"});
  EXPECT_EQ(limited.code, 1);
  EXPECT_NE(limited.err.find("mirilla: OMP_THREAD_LIMIT allows 1 thread and 2 were asked for"), std::string::npos) << limited.err;
  const Outcome stack = eval({"--threads", "2"}, {"OMP_STACKSIZE=1000000G"});
  EXPECT_EQ(stack.code, 1);
  EXPECT_EQ(stack.err.find("libgomp"), std::string::npos) << stack.err;
  EXPECT_NE(stack.err.find("mirilla: 2 threads are to compute here and the system lets 1 of them run"), std::string::npos) << stack.err;
  const Outcome garbage = eval({}, {"OMP_NUM_THREADS=many"});
  EXPECT_EQ(garbage.code, 0);
  EXPECT_EQ(garbage.out, evaluated);
  EXPECT_NE(garbage.err.find("note: OMP_NUM_THREADS=many is ignored: its value is not valid\n"), std::string::npos) << garbage.err;
}

}  // namespace
}  // namespace mirilla::apps
