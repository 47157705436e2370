// SPDX-License-Identifier: MIT
#include "data/split.h"

#include <algorithm>
#include <numeric>

#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
using Indices = std::vector<int64_t>;

TEST(Randperm, IsTorchs) {
  EXPECT_EQ(randperm(10, 42), (Indices{2, 6, 1, 8, 4, 5, 0, 9, 3, 7}));
  for (const auto& one : test::oracle_json("randperm.json")) {
    const Indices p = randperm(one["n"], one["seed"].get<uint64_t>());
    uint64_t checksum = 0;
    for (const int64_t v : p) checksum = checksum * 1000003 + static_cast<uint64_t>(v) + 1;
    EXPECT_EQ(std::to_string(checksum), one["checksum"]) << one["n"] << " " << one["seed"];
    EXPECT_EQ(Indices(p.begin(), p.begin() + std::min<ptrdiff_t>(10, static_cast<ptrdiff_t>(p.size()))), one["first"].get<Indices>());
  }
}

TEST(Randperm, RefusesWhatTorchWouldDrawDifferently) {
  EXPECT_THROW(randperm(-1, 0), ShapeError);
  EXPECT_THROW(randperm(int64_t{UINT32_MAX} / 20, 0), ShapeError);
}

TEST(RandomSplit, IsFastais) {
  const Split split = random_split(1000, 0.2, 42);
  EXPECT_EQ(Indices(split.valid.begin(), split.valid.begin() + 6), (Indices{542, 618, 816, 68, 94, 215}));
  EXPECT_EQ(split.valid.size(), 200u);
  Indices all = split.valid;
  all.insert(all.end(), split.train.begin(), split.train.end());
  EXPECT_EQ(all, randperm(1000, 42));
  EXPECT_EQ(random_split(14, 0.2, 1).valid.size(), 2u);  // int(2.8)
  EXPECT_TRUE(random_split(4, 0.2, 1).valid.empty());
  EXPECT_TRUE(random_split(4, 0, 1).valid.empty());
}

TEST(RandomSplit, RefusesSharesThatMakeNoSense) {
  for (const double pct : {-0.1, 1.0, 1.5, std::nan("")}) EXPECT_THROW(random_split(10, pct, 1), UsageError) << pct;
  EXPECT_THROW(random_split(0, 0.2, 1), DataError);
}

const std::vector<Item> kItems{{"t/a/1.jpg", "a"}, {"t/a/2.jpg", "a"}, {"t/b/1.jpg", "b"}, {"u/b/1.jpg", "b"}, {"t/b/x/3.jpg", "x"}};

Split split_by(std::vector<std::string> names) { return file_split(kItems, names); }

TEST(FileSplit, TakesPathsAndTheirEndings) {
  const Split split = split_by({"x/3.jpg", "a/1.jpg", "t/b/1.jpg"});
  EXPECT_EQ(split.valid, (Indices{0, 2, 4}));
  EXPECT_EQ(split.train, (Indices{1, 3}));
  EXPECT_EQ(split_by({"2.jpg"}).valid, Indices{1});
  EXPECT_EQ(split_by({"./t/a/1.jpg"}).valid, Indices{0});
  EXPECT_EQ(split_by({"/home/me/photos/t/a/1.jpg", "a/1.jpg"}).valid, Indices{0});
}

TEST(FileSplit, UnknownAndAmbiguousNamesAreReported) {
  EXPECT_EQ(test::sentence_of<DataError>([] { split_by({"a/9.jpg"}); }), "the split names \"a/9.jpg\", but there is no such picture");
  EXPECT_EQ(test::sentence_of<DataError>([] { split_by({"b/1.jpg"}); }), "the split's name \"b/1.jpg\" matches several pictures");
  EXPECT_THROW(split_by({"elsewhere/1.jpg"}), DataError) << "the file's name alone is not enough where a folder was given";
  EXPECT_THROW(split_by({".jpg"}), DataError);
  EXPECT_THROW(split_by({}), DataError);
  EXPECT_NE(test::sentence_of<DataError>([] {
              split_by({"t/a/1.jpg", "t/a/2.jpg", "t/b/1.jpg", "u/b/1.jpg", "3.jpg"});
            }).find("none is left to train on"),
            std::string::npos);
}

TEST(FileSplit, TakesNamesThatAreNoUtf8AsTheyAreAndAsTheyAreShown) {
  const std::vector<Item> items{{"m\\xE9r/1.jpg", "m\\xE9r"}, {"m\\xE8r/1.jpg", "m\\xE8r"}, {"ice/2.jpg", "ice"}};
  for (const std::string name : {"m\xE9r/1.jpg", "m\\xE9r/1.jpg"})
    EXPECT_EQ(file_split(items, std::vector{name}).valid, Indices{0}) << name;
  EXPECT_EQ(test::sentence_of<DataError>([&] { file_split(items, std::vector{"m\xE7r/1.jpg"s}); }),
            "the split names \"m\\xE7r/1.jpg\", but there is no such picture");
}

TEST(SplitFile, IsReadLineByLine) {
  const test::TempFolder folder;
  const auto path = folder.write("valid.txt", test::text("\xEF\xBB\xBF"
                                                         "a/1.jpg\r\n\n# a comment\n  b/with space.jpg \nlast.jpg"));
  EXPECT_EQ(read_split_file(path), (std::vector{"a/1.jpg"s, "b/with space.jpg"s, "last.jpg"s}));
  EXPECT_NE(test::sentence_of<DataError>([&] { read_split_file(folder.path() / "none.txt"); }).find("the split file cannot be read"),
            std::string::npos);
  EXPECT_THROW(read_split_file(folder.path()), DataError);
}

}  // namespace
}  // namespace mirilla::data
