// SPDX-License-Identifier: MIT
#include "weights/safetensors.h"

#include "kernels/core/philox.h"
#include "tests/weights/support.h"

namespace mirilla::weights {
namespace {

std::string file_of(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  return file + header + std::string(data_bytes, '\0');
}

StateDict parse(const std::string& file) { return parse_safetensors(as_bytes(file), "test.safetensors"); }

std::string refusal(const std::string& file) {
  return sentence_of([&] { parse(file); });
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}}";
}

void expect_refused(const std::string& file, const std::string& part) {
  const std::string sentence = refusal(file);
  EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("test.safetensors"), std::string::npos) << sentence;
}

TEST(Safetensors, ReadsWhatPythonWroteBitForBit) {
  const StateDict state = read_safetensors(oracle("python.safetensors"));
  expect_as_written(state, "python.safetensors");
  const StateDict small = read_safetensors(oracle("small_types.safetensors"));
  expect_as_written(small, "small_types.safetensors");
  EXPECT_EQ(small.notes.size(), 8u);
  EXPECT_EQ(state.metadata, (std::map<std::string, std::string>{{"arch", "resnet18\n\"ü\""}}));
}

TEST(Safetensors, WritesWhatPythonWritesByteForByte) {
  const Folder folder;
  for (const std::string file : {"python.safetensors", "tiny.safetensors"}) {
    write_safetensors(folder / file, read_safetensors(oracle(file)));
    EXPECT_EQ(slurp(folder / file), slurp(oracle(file)));
  }
}

TEST(Safetensors, KeepsOrderNamesValuesAndMetadataThroughAFile) {
  const Folder folder;
  StateDict state;
  state.metadata = {{"vocab", "[\"sea\",\"forest\"]"}, {"", "empty key"}, {"version", "1"}};
  state.add("z", Array::from<uint8_t>({3}, std::array<uint8_t, 3>{1, 2, 3}));
  state.add("a \"quoted\" \\ name", Array::from<float>({1, 2}, std::array{1.5f, -2.0f}));
  state.add("m", Array::from<int64_t>({}, std::array<int64_t, 1>{-7}));
  state.add("none", Array::from<double>({0, 3}, std::span<const double>{}));
  write_safetensors(folder / "x.safetensors", state);
  const StateDict back = read_safetensors(folder / "x.safetensors");
  EXPECT_EQ(back.metadata, state.metadata);
  ASSERT_EQ(back.size(), state.size());
  for (auto a = state.begin(), b = back.begin(); a != state.end(); ++a, ++b) {
    EXPECT_EQ(a->first, b->first);
    EXPECT_EQ(a->second.shape(), b->second.shape());
    EXPECT_EQ(a->second.dtype(), b->second.dtype());
    EXPECT_EQ(hex(a->second.bytes()), hex(b->second.bytes()));
  }
  write_safetensors(folder / "y.safetensors", back);
  EXPECT_EQ(slurp(folder / "x.safetensors"), slurp(folder / "y.safetensors"));
  EXPECT_EQ(folder.count(), 2u) << "no temporary file is left";
}

TEST(Safetensors, DataBeginsAtAMultipleOfEightAndEachTensorAtOneOfItsElement) {
  const Folder folder;
  StateDict state;
  state.add("byte", Array::from<uint8_t>({1}, std::array<uint8_t, 1>{1}));
  state.add("half", Array::copy_of(DType::f16, {1}, as_bytes("ab")));
  state.add("long", Array::from<int64_t>({1}, std::array<int64_t, 1>{2}));
  write_safetensors(folder / "x", state);
  const std::string file = slurp(folder / "x");
  const auto header_bytes = static_cast<size_t>(static_cast<unsigned char>(file[0]) + 256 * static_cast<unsigned char>(file[1]));
  EXPECT_EQ(header_bytes % 8, 0u);
  const auto header = nlohmann::json::parse(file.substr(8, header_bytes));
  EXPECT_EQ(header["long"]["data_offsets"][0], 0);
  EXPECT_EQ(header["half"]["data_offsets"][0], 8);
  EXPECT_EQ(header["byte"]["data_offsets"][0], 10);
}

TEST(Safetensors, AFileWithoutTensorsIsAFile) {
  EXPECT_EQ(parse(file_of("{}", 0)).size(), 0u);
  EXPECT_EQ(parse(file_of("{}      ", 0)).size(), 0u);
}

TEST(Safetensors, ATensorThatOthersLeftUnalignedIsReadAllTheSame) {
  std::string file =
      file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})", 5);
  file.replace(file.size() - 4, 4, std::string("\x00\x00\xc0\x3f", 4));
  const StateDict state = parse(file);
  EXPECT_EQ(state.at("b").values<float>()[0], 1.5f);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(state.at("b").bytes().data()) % 4, 0u);
}

TEST(Safetensors, RefusesHeadersThatLie) {
  expect_refused("short", "5 bytes, too few");
  expect_refused(std::string("\x05\x00\x00\x00\x00\x00\x00\x00{}", 10), "says that its header has 5 bytes");
  expect_refused(std::string(8, '\xff') + "{}", "says that its header has 18446744073709551615 bytes");
  expect_refused(file_of("{", 0), "not JSON from byte");
  expect_refused(file_of("{}x", 0), "not JSON from byte 3");
  expect_refused(file_of("[]", 0), "a list where an object of tensors");
  expect_refused(file_of(R"({"w":3})", 0), "the number 3 where the object of 'w'");
  expect_refused(file_of(std::string(100'000, '['), 0), "a list");
  expect_refused(file_of(R"({"w":)" + std::string(100'000, '['), 0), "a list");
  expect_refused(file_of("{\"\xff\":{}}", 0), "not JSON");
  expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0), "the number 1 where a text of the metadata");
  expect_refused(file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "'a' twice");
}

TEST(Safetensors, RefusesTensorsThatDoNotFitTheirBytes) {
  EXPECT_EQ(parse(file_of(one("F32", "2", "0,8"), 8)).at("w").shape(), Shape{2});
  expect_refused(file_of(one("F32", "2", "0,8"), 7), "announces 8 bytes of data, but the file has 7");
  expect_refused(file_of(one("F32", "2", "0,8"), 9), "announces 8 bytes of data, but the file has 9");
  expect_refused(file_of(one("F32", "3", "0,8"), 8), "is (3) of F32 and has 8 bytes");
  expect_refused(file_of(one("F32", "2", "4,12"), 12), "uses bytes 4 to 12 of the data, but byte 0 is the next free one");
  expect_refused(file_of(one("F32", "2", "8,0"), 8), "uses bytes 8 to 0");
  expect_refused(file_of(one("U64", "1", "0,8"), 8), "dtype 'U64', and only floating-point numbers");
  expect_refused(file_of(one("torch.float32", "2", "0,8"), 8), "dtype 'torch.float32', and only floating-point numbers");
  expect_refused(file_of(one("I32", "2", "0,4"), 4), "is (2) of I32 and has 4 bytes");
  expect_refused(file_of(one("F32", "4294967296,4294967296", "0,8"), 8), "too large");
  expect_refused(file_of(one("F32", "18446744073709551615", "0,8"), 8), "an extent of 18446744073709551615");
  expect_refused(file_of(one("F32", "-2", "0,8"), 8), "the number -2");
  expect_refused(file_of(one("F32", "2.0", "0,8"), 8), "the number 2.0");
  expect_refused(file_of(one("F32", "1,1,1,1,1,1,2", "0,8"), 8), "more than 6 numbers in its shape");
  expect_refused(file_of(one("F32", "2", "0,8,8"), 8), "more than 2 numbers in its data_offsets");
  expect_refused(file_of(one("F32", "2", "0"), 8), "1 data_offsets instead of two");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[2]}})", 8), "lacks one of");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}})", 8), "'strides' beside");
}

TEST(Safetensors, RefusesOverlapsAndNamesGivenTwice) {
  const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const std::string b = R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]})";
  expect_refused(file_of("{" + a + "," + b + "}", 6), "tensor 'b' uses bytes 2 to 6 of the data, but byte 4");
  expect_refused(file_of("{" + a + "," + a + "}", 4), "'a' twice");
}

TEST(Safetensors, CutAtAnyByteIsAnError) {
  const std::string whole = slurp(oracle("python.safetensors"));
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_THROW(parse(whole.substr(0, length)), WeightsError) << length;
}

TEST(Safetensors, FlippedBitsEndInTensorsThatFitOrAnError) {
  const std::string whole = slurp(oracle("python.safetensors"));
  int refused = 0;
  for (uint32_t i = 0; i < 4000; ++i) {
    std::string damaged = whole;
    const RandomKey key{.seed = 3, .item = i};
    for (uint32_t flip = 0; flip <= i % 3; ++flip) {
      const uint32_t bit = key.bits(flip) % static_cast<uint32_t>(whole.size() * 8);
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    }
    try {
      size_t bytes = 0;
      for (const auto& [name, array] : parse(damaged)) bytes += array.size_bytes();
      EXPECT_LT(bytes, whole.size());
    } catch (const WeightsError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 400);
  EXPECT_LT(refused, 4000);
}

TEST(Safetensors, WritingRefusesWhatTheFormatCannotHoldAndLeavesNoFile) {
  const Folder folder;
  StateDict state;
  state.add("\xff", Array::from<float>({1}, std::array{1.0f}));
  EXPECT_NE(sentence_of([&] { write_safetensors(folder / "x", state); }).find("not UTF-8"), std::string::npos);
  StateDict reserved;
  reserved.add("__metadata__", Array::from<float>({1}, std::array{1.0f}));
  EXPECT_NE(sentence_of([&] { write_safetensors(folder / "x", reserved); }).find("reserves that name"), std::string::npos);
  EXPECT_EQ(folder.count(), 0u);
}

}  // namespace
}  // namespace mirilla::weights
