// SPDX-License-Identifier: MIT
#include "weights/pth.h"

#include "kernels/core/philox.h"
#include "tests/weights/support.h"
#include "weights/read.h"

namespace mirilla::weights {
namespace {

class WrittenByPyTorch : public ::testing::TestWithParam<const char*> {};

TEST_P(WrittenByPyTorch, ReadsBitForBit) { expect_as_written(read_pth(oracle(GetParam())), GetParam()); }

INSTANTIATE_TEST_SUITE_P(Pth, WrittenByPyTorch,
                         ::testing::Values("plain.pth", "protocol4.pth", "protocol5.pth", "ordered.pth", "shared.pth", "strided.pth",
                                           "dtypes.pth", "parameter.pth", "nested.pth", "only_nested.pth", "fastai.pth", "deflated.pth",
                                           "beside.pth", "beside_protocol4.pth", "averaged.pth", "wrapped_twice.pth", "small_types.pth",
                                           "attribute.pth", "legacy.pth", "legacy_kinds.pth", "zip64.pth", "complex.pth"));

TEST(Pth, KeepsTheModelsOrder) {
  std::vector<std::string> names;
  for (const auto& [name, array] : read_pth(oracle("ordered.pth"))) names.push_back(name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}));
}

TEST(Pth, TensorsOfOneStorageShareItsBytes) {
  const StateDict state = read_pth(oracle("shared.pth"));
  EXPECT_EQ(state.at("base").bytes().data(), state.at("same").bytes().data());
  EXPECT_EQ(state.at("view").bytes().data(), state.at("base").bytes().data() + 3 * sizeof(float));
}

TEST(Pth, SaysWhatItPassedOver) {
  const StateDict state = read_pth(oracle("nested.pth"));
  const std::vector<std::string> expected = {"'epoch' is a number and was skipped", "'optimizer' is a dict and was skipped",
                                             "'best' is a number and was skipped",  "'classes' is a set and was skipped",
                                             "'seed' is a number and was skipped",  "'name' is a text and was skipped",
                                             "'none' is None and was skipped"};
  EXPECT_EQ(state.notes, expected);
}

TEST(Pth, SaysWhatItConverted) {
  const StateDict state = read_pth(oracle("dtypes.pth"));
  ASSERT_EQ(state.notes.size(), 4u);
  EXPECT_EQ(state.notes[0], "'bool' and others like it were stored as torch.bool and became u8");
}

TEST(Pth, RefusesEachHostileOrForeignFileWithItsSentence) {
  const auto refused = nlohmann::json::parse(slurp(oracle("refused.json")));
  EXPECT_GE(refused.size(), 35u);
  for (const auto& [file, part] : refused.items()) {
    SCOPED_TRACE(file);
    const std::string sentence = sentence_of([&] { read_weights(oracle(file)); });
    EXPECT_NE(sentence.find(part.get<std::string>()), std::string::npos) << sentence;
    EXPECT_NE(sentence.find(file), std::string::npos) << "the file is named: " << sentence;
    EXPECT_EQ(sentence.find('\n'), std::string::npos);
  }
}

TEST(Pth, NamesWhatAFileWouldMakePythonRun) {
  try {
    read_pth(oracle("os_system_global.pth"));
    FAIL() << "read";
  } catch (const WeightsError& error) {
    EXPECT_EQ(error.message(), fmt::format("'{}' was made to run 'os.system' when Python opens it; nothing of it was run",
                                           oracle("os_system_global.pth").string()));
    EXPECT_EQ(error.hint(), "do not open it in Python either; a state dict holds only tensors and plain containers");
  }
}

TEST(Pth, AWholeModelGetsTheLineThatSavesItsStateDict) {
  const auto hint = [](const std::string& file) -> std::string {
    try {
      read_pth(oracle(file));
    } catch (const WeightsError& error) {
      return std::string(error.hint());
    }
    return "read";
  };
  EXPECT_EQ(hint("whole_model.pth"), "in Python: torch.save(torch.load('whole_model.pth', weights_only=False).state_dict(), 'new.pth')");
  EXPECT_EQ(hint("whole_model_inside.pth"),
            "in Python: torch.save(torch.load('whole_model_inside.pth', weights_only=False)['model'].state_dict(), 'new.pth')");
}

TEST(Pth, WhatLiesBesideTheTensorsIsSkippedWithALine) {
  const std::vector<std::string> expected = {"'args' is an object of 'argparse.Namespace' and was skipped",
                                             "'folder' is an object of 'pathlib.PurePosixPath' and was skipped",
                                             "'device' is an object of 'torch.device' and was skipped",
                                             "'dtype' is a class and was skipped",
                                             "'best' is an object of 'numpy.core.multiarray.scalar' and was skipped",
                                             "'epoch' is an object of 'numpy.core.multiarray.scalar' and was skipped",
                                             "'history' is an object of 'numpy.core.multiarray._reconstruct' and was skipped"};
  EXPECT_EQ(read_pth(oracle("beside.pth")).notes, expected);
  EXPECT_EQ(read_pth(oracle("legacy_kinds.pth")).notes.at(1), "'args' is an object of 'argparse.Namespace' and was skipped");
  EXPECT_EQ(read_pth(oracle("complex.pth")).notes,
            std::vector<std::string>{"'w' is of type 'torch.ComplexFloatStorage', which is not read, and was skipped"});
}

TEST(Pth, SaysThatItTookAveragedWeights) {
  EXPECT_EQ(read_pth(oracle("averaged.pth")).notes,
            (std::vector<std::string>{"'state_dict_ema', averaged weights, were taken", "'epoch' is a number and was skipped",
                                      "'state_dict' is a dict and was skipped"}));
}

TEST(Pth, TensorsOfAStoredZipAreThoseOfTheMappedFile) {
  const StateDict state = read_pth(oracle("zip64.pth"));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(state.at("weight").bytes().data()) % 4, 0u);
}

TEST(Pth, WrittenFilesReadBackBitForBitAndAreReproducible) {
  const Folder folder;
  for (const char* file : {"plain.pth", "ordered.pth", "strided.pth", "dtypes.pth"}) {
    const StateDict state = read_pth(oracle(file));
    write_pth(folder / "one.pth", state);
    write_pth(folder / "two.pth", read_pth(folder / "one.pth"));
    expect_as_written(read_pth(folder / "one.pth"), file);
    EXPECT_TRUE(slurp(folder / "one.pth") == slurp(folder / "two.pth")) << file;
  }
  EXPECT_THROW(write_pth(folder / "no/such/folder.pth", read_pth(oracle("plain.pth"))), Error);
}

class Cut : public ::testing::TestWithParam<const char*> {};

TEST_P(Cut, AtAnyByteIsAnError) {
  const Folder folder;
  const std::string whole = slurp(oracle(GetParam()));
  for (size_t length = 0; length < whole.size(); ++length) {
    spill(folder / "cut.pth", std::string_view(whole).substr(0, length));
    EXPECT_THROW(read_pth(folder / "cut.pth"), WeightsError) << length << " of " << whole.size();
    EXPECT_THROW(read_weights(folder / "cut.pth"), WeightsError) << length << " of " << whole.size();
  }
}

INSTANTIATE_TEST_SUITE_P(Pth, Cut, ::testing::Values("parameter.pth", "legacy.pth", "deflated.pth"));

TEST(Pth, AFlippedBitIsAnErrorOrChangesNoTensor) {
  const Folder folder;
  const std::string whole = slurp(oracle("parameter.pth"));
  const StateDict expected = read_pth(oracle("parameter.pth"));
  int refused = 0;
  for (uint32_t i = 0; i < 2000; ++i) {
    const uint32_t bit = RandomKey{.seed = 7, .item = i}.bits(0) % static_cast<uint32_t>(whole.size() * 8);
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    spill(folder / "damaged.pth", damaged);
    try {
      const StateDict state = read_pth(folder / "damaged.pth");
      for (const auto& [name, array] : state) {  // the checksum ensures that the rest is undamaged
        ASSERT_TRUE(expected.contains(name));
        EXPECT_EQ(hex(array.bytes()), hex(expected.at(name).bytes())) << "bit " << bit;
      }
    } catch (const WeightsError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
}

TEST(ReadWeights, TellsFormatsApartByContentAndNotByName) {
  const Folder folder;
  spill(folder / "a.safetensors", slurp(oracle("plain.pth")));
  spill(folder / "b.pth", slurp(oracle("tiny.safetensors")));
  expect_as_written(read_weights(folder / "a.safetensors"), "plain.pth");
  expect_as_written(read_weights(folder / "b.pth"), "tiny.safetensors");
}

TEST(ReadWeights, AMissingEmptyOrUnknownFileGetsASentence) {
  const Folder folder;
  spill(folder / "empty.pth", "");
  spill(folder / "page.pth", "<!DOCTYPE html><html>Not found</html>");
  spill(folder / "noise.bin", "0123456789abcdef");
  spill(folder / "short.pth", "P");
  const auto sentence = [&](const std::string& name) { return sentence_of([&] { read_weights(folder / name); }); };
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  EXPECT_EQ(sentence("none.pth"), "there is no weights file '" + path("none.pth") + "'");
  EXPECT_EQ(sentence("empty.pth"), "the weights file '" + path("empty.pth") + "' is empty");
  EXPECT_EQ(sentence("noise.bin"), "'" + path("noise.bin") + "' is neither a safetensors file nor one written by torch.save");
  EXPECT_EQ(sentence("short.pth"), "'" + path("short.pth") + "' is neither a safetensors file nor one written by torch.save");
  EXPECT_EQ(sentence(""), "'" + path("") + "' is a folder and not a weights file");
  EXPECT_EQ(sentence_of([] { read_weights("/dev/null"); }), "'/dev/null' is not a regular file");
  try {
    read_weights(folder / "page.pth");
    FAIL() << "read";
  } catch (const WeightsError& error) {
    EXPECT_NE(error.hint().find("web page"), std::string::npos);
  }
}

}  // namespace
}  // namespace mirilla::weights
