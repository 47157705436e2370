// SPDX-License-Identifier: MIT
#include "weights/pickle.h"

#include "kernels/core/philox.h"
#include "tests/weights/support.h"

namespace mirilla::weights::pickle {
namespace {

using namespace std::string_literals;

Result run(const std::string& pickle) { return unpickle(as_bytes(pickle), "test.pth"); }

std::string refusal(const std::string& pickle) {
  return sentence_of([&] { run(pickle); });
}

TEST(Unpickle, NumbersOfEveryWidthAndSign) {
  const Result result =
      run("\x80\x02(K\xffM\xfe\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x01\x80\x8a\x02\x80\x00\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01"
          "G\x3f\xf8\x00\x00\x00\x00\x00\x00t."s);
  std::vector<int64_t> integers;
  for (size_t i = 0; i < 6; ++i) integers.push_back(result.root->items.at(i)->integer);
  EXPECT_EQ(integers, (std::vector<int64_t>{255, 65534, -1, 0, -128, 128}));
  EXPECT_EQ(result.root->items.at(6)->kind, Kind::big_integer);
  EXPECT_EQ(result.root->items.at(7)->real, 1.5);
}

TEST(Unpickle, SharedAndCircularValuesAreFine) {
  const Result result =
      run("\x80\x02]q\x00h\x00"
          "a."s);  // l = []; l.append(l)
  ASSERT_EQ(result.root->items.size(), 1u);
  EXPECT_EQ(result.root->items[0], result.root);
}

TEST(Unpickle, EveryCutIsAnError) {
  const std::string whole =
      "\x80\x04}\x94(\x8c\x01"
      "aK\x01\x8c\x01"
      "b]\x94(K\x02\x88Neu."s;
  EXPECT_EQ(run(whole).root->items.size(), 4u);
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_THROW(run(whole.substr(0, length)), WeightsError) << length;
}

TEST(Unpickle, LengthsBeyondTheEndAreNotBelieved) {
  EXPECT_NE(refusal("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                    "a."s)
                .find("ends in the middle"),
            std::string::npos);
  EXPECT_NE(refusal("\x80\x02X\xff\xff\xff\x7f"
                    "a."s)
                .find("ends in the middle"),
            std::string::npos);
}

TEST(Unpickle, EndlessOpcodesEnd) { EXPECT_NE(refusal(std::string(3'000'000, 'N')).find("opcodes"), std::string::npos); }

TEST(Unpickle, NestingIsBoundedHoweverItIsBuilt) {
  EXPECT_NE(refusal(")" + std::string(1000, '\x85') + ".").find("nests deeper"), std::string::npos);
  std::string marks = std::string(1000, '(') + std::string(1000, 't') + ".";
  EXPECT_NE(refusal(marks).find("nests deeper"), std::string::npos);
}

TEST(Unpickle, CopyingALargeListAgainAndAgainIsStopped) {
  std::string bomb = "\x80\x02](" + std::string(200'000, 'N') + "eq\x00"s;
  for (int i = 0; i < 100'000; ++i) bomb += "cbuiltins\nset\nh\x00\x85R"s;
  EXPECT_NE(refusal(bomb + ".").find("containers hold more than"), std::string::npos);
}

TEST(Unpickle, ALongNameIsNotCopiedAgainAndAgain) {
  const std::string name = "torch." + std::string(100'000, 'x') + "Storage";
  EXPECT_LT(refusal("\x80\x02"
                    "ctorch\n" +
                    name + "\n.")
                .size(),
            300u);
}

TEST(Unpickle, WhatATerminalWouldActUponIsNotShown) {
  EXPECT_EQ(refusal("\x80\x02"
                    "cos\n\x1b[2Jsystem\n."s),
            "'test.pth' was made to run 'os.?[2Jsystem' when Python opens it; nothing of it was run");
}

// The same object by each opcode that makes one, with state, items and a method of it.
TEST(Unpickle, AnObjectOfAnotherClassIsNotBuilt) {
  const std::string type = "cargparse\nNamespace\n", state = "}X\x02\x00\x00\x00lrK\x01s"s;
  for (const std::string& made :
       {type + ")R", type + ")\x81", type + ")}\x92", "(" + type + "o", "(iargparse\nNamespace\n"s, type + ")\x81" + state + "b",
        type + ")\x81(NNe", type + ")\x81(NNu", type + ")\x81Na", type + ")\x81NNs", type + ")R)R"}) {
    const Result result = run("\x80\x02" + made + ".");
    EXPECT_EQ(result.root->kind, Kind::foreign) << made;
    EXPECT_EQ(result.root->text, "argparse.Namespace") << made;
    EXPECT_TRUE(result.root->items.empty()) << made;
  }
}

TEST(Unpickle, HarmlessBuiltinsAreNotRefused) {
  EXPECT_EQ(run("\x80\x02"
                "cbuiltins\nslice\n)R."s)
                .root->kind,
            Kind::foreign);
  EXPECT_NE(refusal("cbuiltins\nexec\n.").find("was made to run"), std::string::npos);
  EXPECT_NE(refusal("cos.path\njoin\n.").find("was made to run"), std::string::npos);
}

// PyTorch stores the pickle as it is; it begins with PROTO 2 and ends before the next entry.
std::string pickle_in(const std::string& zip) {
  const size_t begin = zip.find("\x80\x02}"s);
  return begin == std::string::npos ? "" : zip.substr(begin, zip.find("PK"s, begin) - begin);
}

TEST(Unpickle, DamagedPicklesEndInAValueOrAnError) {
  const std::string tuned = slurp(oracle("../files/optimizer.pkl"));
  for (const std::string& whole :
       {pickle_in(slurp(oracle("dtypes.pth"))), pickle_in(slurp(oracle("nested.pth"))), pickle_in(slurp(oracle("fastai.pth"))), tuned}) {
    ASSERT_NE(run(whole).root, nullptr);
    int refused = 0;
    const uint32_t tries = whole == tuned ? 1000 : 4000;
    for (uint32_t i = 0; i < tries; ++i) {
      std::string damaged = whole;
      const RandomKey key{.seed = 11, .item = i};
      for (uint32_t flip = 0; flip <= i % 4; ++flip) {
        const uint32_t bit = key.bits(flip) % static_cast<uint32_t>(whole.size() * 8);
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      }
      try {
        EXPECT_NE(run(damaged).root, nullptr);
      } catch (const WeightsError&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, tries / 10);
    EXPECT_LT(refused, tries);
  }
}

}  // namespace
}  // namespace mirilla::weights::pickle
