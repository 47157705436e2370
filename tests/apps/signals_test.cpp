// SPDX-License-Identifier: MIT
// A signal ends each command soon, with its exit code, and leaves nothing half-written; a training run keeps its results so far.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "tests/apps/expectations.h"

namespace mirilla::apps {
namespace {

namespace fs = std::filesystem;

constexpr double kSoon_s = 40;  // on a busy machine, since cam-bench checks only between two pictures; on a free one a fraction of a second

class Signals : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made = std::make_unique<Folder>();
    save_small_model(*made / "model.safetensors", {"buildings", "forest", "glacier", "mountain", "sea", "street"});
    ASSERT_EQ(run({"scenes", "--out", *made / "scenes.zip", "--per-class", "12", "--size", "32"}).code, 0);
    draw_photos(fs::path(*made / "photos"), {"sea", "street"}, 10);
  }
  static void TearDownTestSuite() { made.reset(); }
  static std::string model() { return *made / "model.safetensors"; }
  static std::string data() { return *made / "scenes.zip"; }

  std::vector<std::string> endless_training() const {
    return {"train", "--data",   data(), "--resize",   "32",   "--size", "32",           "--batch-size",
            "8",     "--epochs", "5000", "--patience", "5000", "--out",  folder_ / "out"};
  }

  Folder folder_;
  inline static std::unique_ptr<Folder> made;
};

class TrainingSignal : public Signals, public testing::WithParamInterface<int> {};

TEST_P(TrainingSignal, KeepsTheBestModelAndTheHistory) {
  Running training(endless_training(), folder_.path());
  ASSERT_TRUE(training.wait_for_output("Better model found"));
  training.send(GetParam());
  ASSERT_TRUE(training.ends_within(kSoon_s));
  const Outcome outcome = training.wait();
  EXPECT_EQ(outcome.code, 128 + GetParam()) << outcome.err;
  EXPECT_NE(outcome.err.find("model.safetensors"), std::string::npos) << outcome.err;
  const std::string history = slurp(folder_ / "out/history.csv");
  EXPECT_NE(history.find("\n0,0,"), std::string::npos) << "the first epoch's row is missing in\n" << history;
  expect_no_leftovers(folder_.path());
  EXPECT_EQ(run({"summary", folder_ / "out/model.safetensors"}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(, TrainingSignal, testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST_F(Signals, UnderNohupAreIgnored) {
  const std::string code = folder_ / "code";
  const auto nohup = "nohup sh -c '" MIRILLA_PROGRAM " summary " + model() +
                     " & sleep 0.01; kill -HUP $! 2>/dev/null; wait $!; echo $? > " + code + "' > /dev/null 2>&1";
  ASSERT_EQ(std::system(nohup.c_str()), 0);
  EXPECT_EQ(slurp(code), "0\n");
}

// Each would take minutes or more.
std::vector<std::vector<std::string>> long_commands(const std::string& model, const std::string& data, const Folder& out) {
  const std::string photos = fs::path(data).parent_path() / "photos";
  return {{"eval", model, "--data", data, "--tta", "--tta-n", "10000"},
          {"predict", model, photos, "--tta", "--tta-n", "10000"},
          {"interpret", model, "--data", data, "--device", "reference", "--top", "50", "--out", out / "why"},
          {"cam-bench", model, "--data", data, "--limit", "0", "--perturbations", "1000", "--steps", "1000", "--out", out / "bench.csv"},
          {"lr-find", "--data", data, "--resize", "32", "--size", "32", "--batch-size", "8", "--iterations", "100000", "--to-the-end",
           "--out", out / "found"},
          {"gradcam", model, photos + "/sea/0.png", "--method", "smoothgrad", "--samples", "100000", "--out", out / "why.png"},
          {"scenes", "--per-class", "100000", "--out", out / "scenes.zip"}};
}

TEST_F(Signals, EndEachLongCommandSoon) {
  for (const std::vector<std::string>& command : long_commands(model(), data(), folder_))
    for (const double after_s : {0.02, 1.0}) {  // while it opens its files, and during the work
      SCOPED_TRACE(command[0]);
      Running running(command, folder_.path());
      ASSERT_FALSE(running.ends_within(after_s)) << running.wait().err;
      running.send(SIGTERM);
      EXPECT_TRUE(running.ends_within(kSoon_s));
      const Outcome outcome = running.wait();
      EXPECT_EQ(outcome.code, after_s < 0.1 && outcome.code == -SIGTERM ? -SIGTERM : 128 + SIGTERM) << outcome.err;
      expect_no_raw_text(outcome);
      expect_no_leftovers(folder_.path());
    }
}

TEST_F(Signals, EndAServerSoonThoughABrowserKeepsItsConnection) {
  Running server({"serve", model(), "--port", "0", "--json"}, folder_.path());
  if (!server.wait_for_output("}\n")) GTEST_SKIP() << "built without cpp-httplib";
  const std::string out = slurp(folder_ / "stdout");
  const std::string port = out.substr(out.rfind(':') + 1, out.rfind('/') - out.rfind(':') - 1);
  // A connection that sends half a request and waits, and one that sends nothing.
  const std::string connect = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/" + port + " 4<>/dev/tcp/127.0.0.1/" + port +
                              "; printf \"GET / HT\" >&3; sleep 30' & echo $! > " + (folder_ / "client");
  ASSERT_EQ(std::system(connect.c_str()), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  server.send(SIGTERM);
  EXPECT_TRUE(server.ends_within(3));
  EXPECT_EQ(server.wait().code, 0);
  ::kill(std::stoi(slurp(folder_ / "client")), SIGKILL);
}

TEST_F(Signals, TheSecondEndsATrainingAtOnce) {
  Running training(endless_training(), folder_.path());
  ASSERT_TRUE(training.wait_for_output("Better model found"));
  training.send(SIGTERM);
  training.send(SIGINT);
  ASSERT_TRUE(training.ends_within(kSoon_s));
  const int code = training.wait().code;
  EXPECT_TRUE(code == 128 + SIGINT || code == 128 + SIGTERM) << code;  // the first signal may have been enough
  expect_no_leftovers(folder_.path());
}

// Runs a shell pipeline: {exit code, output}.
std::pair<int, std::string> piped(const Folder& folder, const std::string& command) {
  const std::string script = "( ( " + command + " ); echo $? > '" + (folder / "code") + "' )";
  EXPECT_EQ(std::system(script.c_str()), 0);
  return {std::stoi(slurp(folder / "code")), slurp(folder / "err")};
}

TEST_F(Signals, AClosedPipeEndsQuietly) {
  const std::string program = MIRILLA_PROGRAM, photos = *made / "photos", err = folder_ / "err";
  const auto head = [&](const std::string& words) {
    const std::string script =
        "( " + program + " " + words + " 2> '" + err + "'; echo $? > '" + (folder_ / "code") + "' ) | head -c 1 > /dev/null";
    EXPECT_EQ(std::system(script.c_str()), 0);
    return std::pair(std::stoi(slurp(folder_ / "code")), slurp(err));
  };
  for (const std::string& words :
       {"summary '" + model() + "'", "predict '" + model() + "' '" + photos + "' --csv", std::string("--help")}) {
    const auto [code, said] = head(words);
    EXPECT_TRUE(code == 0 || code == 141 || code == 1) << code;  // 0: all was written before the pipe was closed
    EXPECT_LE(std::count(said.begin(), said.end(), '\n'), 2) << said;
    expect_no_raw_text({code, "", said});
  }
}

TEST_F(Signals, APipeClosedUnderATrainingKeepsWhatItHas) {
  std::string words;
  for (const std::string& word : endless_training()) words += " '" + word + "'";
  const std::string script = "( '" MIRILLA_PROGRAM "'" + words + " 2> '" + (folder_ / "err") + "'; echo $? > '" + (folder_ / "code") +
                             "' ) | grep -q 'Better model'";
  ASSERT_EQ(std::system(script.c_str()), 0);
  EXPECT_EQ(slurp(folder_ / "code"), "141\n");
  EXPECT_NE(slurp(folder_ / "out/history.csv").find("\n0,0,"), std::string::npos);
  EXPECT_TRUE(fs::exists(folder_ / "out/model.safetensors"));
}

TEST_F(Signals, StdoutThatIsFullOrClosedIsAnError) {
  const std::string program = MIRILLA_PROGRAM, err = folder_ / "err";
  const std::string batch =
      "show-batch --data '" + data() + "' --batch-size 2 --n 1 --resize 32 --size 32 --out '" + (folder_ / "b.png") + "'";
  for (const auto& [words, why] : {std::pair("summary '" + model() + "'", ": no space is left"), {"--help", ""}, {batch, ""}}) {
    for (const std::string where : {"> /dev/full", ">&-"}) {
      const auto [code, said] = piped(folder_, program + " " + words + " 2> '" + err + "' " + where);
      expect_failure({code, "", said}, 1, {"cannot write to stdout", where == ">&-" ? "" : why});
    }
  }
}

}  // namespace
}  // namespace mirilla::apps
