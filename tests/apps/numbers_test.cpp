// SPDX-License-Identifier: MIT
#include "apps/numbers.h"

#include <gtest/gtest.h>

#include <set>

#include "apps/command.h"
#include "apps/usage.h"
#include "kernels/core/error.h"
#include "tests/apps/expectations.h"

namespace mirilla::apps {
namespace {

struct Known {
  std::string command, option, type, usual;
};

// Reads all commands from the program, so that new options are tested too.
class Program {
 public:
  Program() { add_commands(app_, codes_); }
  CLI::App& app() { return app_; }

  std::vector<Known> options() {
    std::vector<Known> all;
    for (const CLI::App* command : app_.get_subcommands([](const CLI::App*) { return true; }))
      for (const CLI::Option* option : command->get_options())
        if (!option->get_lnames().empty() && option->get_expected_max() > 0) {
          const std::string type = option->get_type_name();
          all.push_back(
              {command->get_name(), "--" + option->get_lnames().front(), type.substr(0, type.find(':')), option->get_default_str()});
        }
    return all;
  }

  // The message for this value; "" where it is accepted. No command ever runs: the last word is always one too many.
  std::string refusal(const Known& known, const std::string& value) {
    std::vector<std::string> words{"mirilla", known.command, known.option + "=" + value, "--one-too-many"};
    if (value.empty()) words = {"mirilla", known.command, known.option, "", "--one-too-many"};
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    try {
      app_.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const UsageError& error) {
      return error.message();
    } catch (const CLI::ValidationError& error) {
      return error.what();
    } catch (const CLI::ParseError&) {
      return {};
    }
    ADD_FAILURE() << "the command ran";
    return {};
  }

 private:
  ExitCodes codes_;
  CLI::App app_{"", "mirilla"};
};

const std::set<std::string> kWholeNumbers{"N", "K", "PX"}, kNumbers{"RATE", "SHARE", "R", "T"},
    kWords{"NAME", "NAMES", "NAME|INDEX", "FILE", "FILE.zip", "DIR",    "ZIP|DIR", "PNG",  "HTML",
           "WORD", "PART",  "STYLE",      "HOW",  "all",      "METHOD", "ADDRESS", "BYTES"};

std::vector<Known> number_options() {
  std::vector<Known> numbers = Program().options();
  std::erase_if(numbers, [](const Known& known) { return kWords.contains(known.type); });
  return numbers;
}

// Expects a message with what was expected and what was given.
void expect_refused(const Known& known, const std::string& value) {
  const std::string sentence = Program().refusal(known, value);
  EXPECT_TRUE(sentence.starts_with(known.option + ": expected a "))
      << known.command << ' ' << known.option << " '" << value << "': " << sentence;
  EXPECT_NE(sentence.find("got '" + value + "'"), std::string::npos) << sentence;
}

TEST(NumberOptions, AreAllKnownByTheirType) {
  const std::vector<Known> options = number_options();
  EXPECT_GT(options.size(), 60u) << "the options were not found";
  for (const Known& known : options)
    EXPECT_TRUE(kWholeNumbers.contains(known.type) || kNumbers.contains(known.type))
        << known.command << ' ' << known.option << " takes a " << known.type
        << ": make it with add_number and one of the types of numbers, or add its type to the words above";
}

TEST(NumberOptions, TakeTheirOwnDefault) {
  for (const Known& known : number_options())
    EXPECT_TRUE(known.usual.empty() || Program().refusal(known, known.usual).empty()) << known.command << ' ' << known.option;
}

TEST(NumberOptions, RefuseWhatIsNoNumber) {
  for (const Known& known : number_options())
    for (const char* value : {"",
                              " ",
                              "abc",
                              "3x",
                              "x3",
                              " 3",
                              "3 ",
                              "+3",
                              "0x10",
                              "1e999",
                              "-1e999",
                              "nan",
                              "NaN",
                              "inf",
                              "-inf",
                              "infinity",
                              "-99999999999999999999999",
                              "1_000",
                              "1'000",
                              "1,5",
                              "true",
                              "3;4",
                              "\xef\xbc\x93"})
      expect_refused(known, value);
}

TEST(NumberOptions, RefuseNegativeOnes) {
  for (const Known& known : number_options())
    for (const char* value : {"-1", "-0.5", "-1e-9", "-2147483649", "-9223372036854775809", "-18446744073709551617"})
      expect_refused(known, value);
}

TEST(NumberOptions, RefuseAFractionOrAnExponentWhereAWholeNumberIsMeant) {
  for (const Known& known : number_options())
    if (kWholeNumbers.contains(known.type))
      for (const char* value : {"1e3", "3.0", "3.", ".5", "64.5"}) expect_refused(known, value);
}

TEST(NumberOptions, RefuseWhatDoesNotFitTheirTypeOrTheirUse) {
  for (const Known& known : number_options()) {
    if (kNumbers.contains(known.type) || known.option == "--seed") continue;
    for (const char* value :
         {"2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616", "99999999999999999999999"})
      expect_refused(known, value);
  }
  expect_refused({"train", "--seed", "", ""}, "99999999999999999999");
  expect_refused({"train", "--seed", "", ""}, "18446744073709551616");
  EXPECT_EQ(Program().refusal({"train", "--seed", "", ""}, "18446744073709551615"), "");
}

TEST(NumberOptions, KnowTheirBounds) {
  const auto taken = [](const char* command, const char* option, const char* value) {
    return Program().refusal({command, option, "", ""}, value).empty();
  };
  EXPECT_FALSE(taken("train", "--batch-size", "0"));
  EXPECT_FALSE(taken("train", "--size", "1000000"));
  EXPECT_FALSE(taken("train", "--resize", "0"));
  EXPECT_FALSE(taken("train", "--epochs", "0"));
  EXPECT_TRUE(taken("train", "--freeze-epochs", "0"));
  EXPECT_TRUE(taken("train", "--limit", "0"));
  EXPECT_FALSE(taken("train", "--patience", "0"));
  EXPECT_FALSE(taken("train", "--lr", "0"));
  EXPECT_FALSE(taken("train", "--lr", "1e31"));
  EXPECT_FALSE(taken("train", "--valid-pct", "1"));
  EXPECT_TRUE(taken("train", "--valid-pct", "0.999"));
  EXPECT_FALSE(taken("train", "--threads", "1000"));
  EXPECT_TRUE(taken("train", "--threads", "0"));
  EXPECT_FALSE(taken("lr-find", "--iterations", "5"));
  EXPECT_FALSE(taken("lr-find", "--end-lr", "1e400"));
  EXPECT_FALSE(taken("predict", "--tta-beta", "1.0001"));
  EXPECT_FALSE(taken("serve", "--port", "65536"));
  EXPECT_FALSE(taken("scenes", "--per-class", "0"));
  EXPECT_FALSE(taken("diff", "--tolerance", "nan"));
}

TEST(NumberOptions, AreReadAsTheyAreWritten) {
  EXPECT_EQ(parse_number<uint64_t>("--seed", "010", {0, 100}), 10u) << "no octal";
  EXPECT_EQ(parse_number<int64_t>("--n", "-7", {-10, 10}), -7);
  EXPECT_EQ(parse_number<double>("--lr", "1e-3", {0, 1}), 1e-3);
  EXPECT_EQ(parse_number<double>("--lr", ".5", {0, 1}), 0.5);
  EXPECT_EQ(parse_number<double>("--lr", "0.1", {0, 1}), 0.1);
}

TEST(ByteOptions, RefuseWhatIsNoNumberOfBytes) {
  for (const char* value : {"", "-1", "1e3", "8X", "8 G", "99999999999999999999G", "17179869184G", "nan", "0x8", "G"}) {
    const std::string sentence = Program().refusal({"train", "--device-pictures", "", ""}, value);
    EXPECT_NE(sentence.find("off or a number of bytes, got '"), std::string::npos) << value << ": " << sentence;
  }
  for (const char* value : {"auto", "off", "0", "1073741824", "8G", "512M", "4K"})
    EXPECT_EQ(Program().refusal({"train", "--device-pictures", "", ""}, value), "") << value;
}

TEST(NumberOptions, AreRefusedByTheProgramAtOnce) {
  const Folder folder;
  for (const auto& [option, value] : std::vector<std::pair<std::string, std::string>>{
           {"--seed", "-1"}, {"--seed", "99999999999999999999"}, {"--threads", "1000"}, {"--epochs", "-1"}, {"--lr", "inf"}})
    expect_failure(run({"train", option, value, "--out", folder / "out"}), 2, {option, "got '" + value + "'", "`mirilla train --help`"});
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// The message, in our words, for a command line that CLI11 refuses.
std::string said_of(const std::vector<std::string>& words) {
  const Outcome outcome = run(words);
  expect_failure(outcome, 2, {"--help"});
  return outcome.err;
}

TEST(Usage, NamesTheOptionOrCommandThatWasProbablyMeant) {
  EXPECT_NE(said_of({"train", "--epoch", "3"}).find("did you mean --epochs?"), std::string::npos);
  EXPECT_NE(said_of({"train", "-epochs", "3"}).find("did you mean --epochs?"), std::string::npos);
  EXPECT_NE(said_of({"trian", "--data", "x.zip"}).find("'trian' is not a command; did you mean train?"), std::string::npos);
  EXPECT_NE(said_of({"predict", "--vocap=a,b", "m.pth"}).find("'--vocap' is not an option of `mirilla predict`; did you mean --vocab?"),
            std::string::npos);
  EXPECT_EQ(said_of({"train", "--frobnicate"}).find("did you mean"), std::string::npos);
}

TEST(Usage, SaysWhatIsMissingOrTooMuch) {
  const auto says = [](const std::vector<std::string>& words, std::string_view sentence) {
    const std::string said = said_of(words);
    EXPECT_NE(said.find(sentence), std::string::npos) << said;
  };
  says({}, "expected a subcommand, got none");
  says({"predict"}, "`mirilla predict` needs MODEL, which is missing");
  says({"eval", "m.pth"}, "`mirilla eval` needs --data, which is missing");
  says({"train", "--epochs"}, "--epochs needs a value, which is missing");
  says({"train", "--epochs", "1", "--epochs", "2"}, "--epochs was given 2 times, but takes only one value");
  says({"train", "--json=maybe"}, "--json does not take a value");
  says({"summary", "m.pth", "another"}, "'another' is one argument too many for `mirilla summary`");
  says({"predict", "m.pth", "a.jpg", "--tta-n", "3"}, "--tta-n needs --tta, which is missing");
  says({"gradcam", "m.pth", "a.jpg", "--layer", "layer3", "--layers", "all"}, "--layer and --layers cannot be used together");
  says({"train", "--arch", "resnet19"}, "--arch: expected one of resnet18, resnet34, resnet50, resnet101, resnet152, got 'resnet19'");
}

TEST(Nearest, IsTheWordWithTheFewestChangesAndNoneThatIsFar) {
  const std::vector<std::string> words{"train", "predict", "eval"};
  EXPECT_EQ(nearest("trian", words), "train");
  EXPECT_EQ(nearest("evaluate", words), "");
  EXPECT_EQ(nearest("evl", words), "eval");
  EXPECT_EQ(nearest("", words), "");
}

}  // namespace
}  // namespace mirilla::apps
