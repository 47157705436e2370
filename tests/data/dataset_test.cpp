// SPDX-License-Identifier: MIT
#include "data/dataset.h"

#include <set>

#include "data/pictures/decode.h"
#include "data/pictures/orientation.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
using test::ZipMaker;

/// `n` PPMs of two classes in turn; bad(i) ones are cut off.
template <class Bad>
std::shared_ptr<const Source> pictures(int n, int width, int height, Bad&& bad) {
  ZipMaker zip;
  for (int i = 0; i < n; ++i) {
    test::Bytes bytes = test::as_ppm(test::numbered_picture(i, width, height));
    if (bad(i)) bytes.resize(bytes.size() / 2);
    zip.add(fmt::format("{}/{:04}.ppm", i % 2 ? "odd" : "even", i), bytes);
  }
  return open_source(zip.bytes(), "z.zip");
}
std::shared_ptr<const Source> pictures(int n, int width, int height) {
  return pictures(n, width, height, [](int) { return false; });
}

TEST(Dataset, KnowsItsPartsLabelsAndCounts) {
  const auto data = open_training(pictures(20, 8, 8), {.valid_pct = 0.2, .options = {.resize = 8}});
  EXPECT_EQ(data->vocabulary(), (std::vector{"even"s, "odd"s}));
  EXPECT_EQ(data->train().size(), 16u);
  EXPECT_EQ(data->valid().size(), 4u);
  const auto train = data->class_counts(data->train()), valid = data->class_counts(data->valid());
  EXPECT_EQ(train[0] + valid[0], 10);
  EXPECT_EQ(train[1] + valid[1], 10);
  for (int64_t i = 0; i < 20; ++i)
    EXPECT_EQ(data->vocabulary()[static_cast<size_t>(data->label(i))], data->items()[static_cast<size_t>(i)].label);
}

TEST(Dataset, GivesThePictureAndItsResizedCropCachedOrNot) {
  const auto source = pictures(6, 11, 7);
  for (const uint64_t budget : {uint64_t{0}, uint64_t{1} << 20}) {
    const auto data = open_training(source, {.valid_pct = 0, .options = {.resize = 9, .cache_bytes = budget}});
    for (int round = 0; round < 2; ++round) {
      for (int64_t i = 0; i < 6; ++i) {
        const std::string& path = data->items()[static_cast<size_t>(i)].path;
        const Picture expected = decode(source->read(path), path);
        EXPECT_EQ(*data->picture(i), expected);
        std::vector<uint8_t> out(9 * 9 * 3);
        data->resized(i, {0.8, 0.1}, out);
        EXPECT_EQ(out, resize_crop(expected, 9, 0.8, 0.1).pixels);
      }
    }
    EXPECT_EQ(data->cache_statistics().decoded, budget ? 6 : 24);
  }
}

TEST(Dataset, KeepsSquaresResizedAndStillGivesTheWholePicture) {
  const auto source = pictures(6, 10, 10);
  const auto data = open_training(source, {.valid_pct = 0, .options = {.resize = 16, .cache_bytes = 1 << 20}});
  data->scan(2);
  const CacheStatistics after_scan = data->cache_statistics();
  EXPECT_EQ(after_scan.bytes, 6 * (16 * 16 * 3 + sizeof(Picture)));
  const Picture whole = decode(source->read(data->items()[3].path), "x");
  std::vector<uint8_t> out(16 * 16 * 3);
  data->resized(3, {0.9, 0.2}, out);
  EXPECT_EQ(out, resize_crop(whole, 16, 0.9, 0.2).pixels);
  EXPECT_EQ(data->cache_statistics().decoded, 6);
  EXPECT_EQ(*data->picture(3), whole);
}

TEST(Dataset, TheCacheStaysWithinItsBudgetAndKeepsServing) {
  const uint64_t one = 10 * 8 * 3 + sizeof(Picture);
  const auto data = open_training(pictures(20, 10, 8), {.valid_pct = 0.2, .options = {.resize = 32, .cache_bytes = 5 * one + one / 2}});
  data->scan(3);
  std::vector<uint8_t> out(32 * 32 * 3);
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int64_t i = 0; i < 20; ++i) data->resized(i, {}, out);
  }
  const CacheStatistics s = data->cache_statistics();
  EXPECT_EQ(s.pictures, 5);
  EXPECT_EQ(s.bytes, 5 * one);
  EXPECT_EQ(s.hits, 3 * 5);
  EXPECT_EQ(s.decoded, 20 + 3 * 15);
}

TEST(Dataset, TheDefaultBudgetIsAtMostTwoGigabytes) {
  EXPECT_GT(default_cache_bytes(), 0u);
  EXPECT_LE(default_cache_bytes(), uint64_t{2} << 30);
}

TEST(Scan, DropsBadPicturesUpToFivePercentAndNamesThem) {
  const auto data =
      open_training(pictures(40, 8, 8, [](int i) { return i == 7 || i == 30; }), {.valid_pct = 0.25, .options = {.resize = 8}});
  const size_t before = data->train().size() + data->valid().size();
  int64_t last = -1, total = 0;
  const auto& bad = data->scan(3, [&](int64_t done, int64_t all) {
    EXPECT_GE(done, last);
    last = done, total = all;
  });
  EXPECT_EQ(last, 40);
  EXPECT_EQ(total, 40);
  ASSERT_EQ(bad.size(), 2u);  // exactly 5 %
  EXPECT_EQ(bad[0].path, "even/0030.ppm");
  EXPECT_EQ(bad[1].path, "odd/0007.ppm");
  EXPECT_NE(bad[1].reason.find("odd/0007.ppm: the picture is cut off"), std::string::npos);
  EXPECT_EQ(data->train().size() + data->valid().size(), before - 2);
  for (const auto* part : {&data->train(), &data->valid()}) {
    for (const int64_t i : *part) EXPECT_NO_THROW(data->picture(i));
  }
}

TEST(Scan, MoreThanFivePercentBadIsAnError) {
  const auto data = open_training(pictures(40, 8, 8, [](int i) { return i % 10 == 3; }), {.options = {.resize = 8}});
  const std::string sentence = test::sentence_of<DataError>([&] { data->scan(2); });
  EXPECT_NE(sentence.find("z.zip: 4 of 40 pictures do not decode, more than the allowed 5 %"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("odd/0003.ppm: the picture is cut off"), std::string::npos) << sentence;
  EXPECT_EQ(sentence.find("odd/0033.ppm"), std::string::npos) << "only the first few are named: " << sentence;
}

TEST(Scan, ASmallSetMayLoseOnePictureAndALargerShareWhereItIsAllowed) {
  const auto open = [](int bad, double max_bad) {
    return open_training(pictures(6, 8, 8, [bad](int i) { return i < bad; }), {.options = {.resize = 8, .max_bad = max_bad}});
  };
  const auto one = open(1, kUsualMaxBad);
  EXPECT_EQ(one->scan(2).size(), 1u);
  EXPECT_EQ(one->train().size() + one->valid().size(), 5u);
  EXPECT_THROW(open(2, kUsualMaxBad)->scan(2), TooManyBad);
  EXPECT_EQ(open(2, 0.34)->scan(2).size(), 2u);
  EXPECT_THROW(open(2, 0.33)->scan(2), TooManyBad);
  EXPECT_THROW(open(1, 0)->scan(2), TooManyBad);
  EXPECT_THROW(open(6, 1)->scan(2), TooManyBad) << "none is left";
  EXPECT_NO_THROW(open(0, 0)->scan(2));
}

// One wide picture whose EXIF says to turn it left, one without EXIF.
std::shared_ptr<const Source> turned_and_plain() {
  const test::Bytes plain = test::read_bytes(test::oracle("420.jpg"));
  test::Bytes turned = plain;
  const std::string note = "\xFF\xE1\0\x22"s + "Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x08\0\0\0\0\0\0\0"s;
  turned.insert(turned.begin() + 2, note.begin(), note.end());
  return open_source(ZipMaker().add("a/1.jpg", turned).add("b/2.jpg", plain).bytes(), "z.zip");
}

TEST(Dataset, TurnsPhotosWhereAskedToAndCountsThemWhereNot) {
  const std::vector<Item> items{{"a/1.jpg", "a"}, {"b/2.jpg", "b"}};
  for (const bool exif_rotate : {false, true}) {
    for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
      Dataset data(turned_and_plain(), items, {.train = {0, 1}, .valid = {}},
                   {.resize = 16, .cache_bytes = cache_bytes, .exif_rotate = exif_rotate});
      EXPECT_EQ(data.turned_pictures(), 0) << "nobody knows before the scan";
      data.scan(1);
      EXPECT_EQ(data.turned_pictures(), 1);
      const Picture plain = test::oracle_picture("420_jpg.out.ppm");
      const Picture wanted = exif_rotate ? upright(plain, 8) : plain;
      EXPECT_EQ(*data.picture(0), wanted);
      EXPECT_EQ(*data.picture(1), plain);
      test::Bytes square(16 * 16 * 3);
      data.resized(0, {.x = 0.3, .y = 0.6}, square);
      EXPECT_EQ(square, resize_crop(wanted, 16, 0.3, 0.6).pixels);
    }
  }
}

TEST(Scan, AnExceptionFromProgressEndsItWithoutHanging) {
  const auto data = open_training(pictures(10, 8, 8), {.options = {.resize = 8}});
  EXPECT_THROW(data->scan(2, [](int64_t, int64_t) { throw Interrupted("stopped"); }), Interrupted);
}

TEST(Scan, AClassWhosePicturesAllFailIsAnError) {
  ZipMaker zip;
  for (int i = 0; i < 80; ++i) zip.add(fmt::format("{}/{}.ppm", i % 2 ? "sea" : "ice", i), test::as_ppm(test::numbered_picture(i, 8, 8)));
  zip.add("street/1.jpg", {}).add("street/2.jpg", test::text("<html>"));
  const auto source = open_source(zip.bytes(), "z.zip");
  const std::string sentence = test::sentence_of<DataError>([&] { open_training(source, {.options = {.resize = 8}})->scan(2); });
  EXPECT_EQ(sentence.find("z.zip: the class \"street\" has no picture left to train on, since its pictures do not decode (street/"), 0u)
      << sentence;
  const auto given = open_evaluation(source, {.resize = 8, .vocabulary = {"ice", "sea", "street"}});
  EXPECT_EQ(given->scan(2).size(), 2u) << "to measure a model without a class is no mistake";
}

TEST(Training, AClassThatTheSplitTakesWholeIsReported) {
  ZipMaker zip;
  for (int i = 0; i < 20; ++i)
    zip.add(fmt::format("{}/{:02}.ppm", i % 2 ? "sea" : "ice", i), test::as_ppm(test::numbered_picture(i, 8, 8)));
  zip.add("street/1.ppm", test::as_ppm(test::numbered_picture(1, 8, 8)));
  const test::TempFolder folder;
  const auto list = folder.write("valid.txt", test::text("street/1.ppm\n"));
  EXPECT_EQ(test::sentence_of<DataError>(
                [&] { open_training(open_source(zip.bytes(), "z.zip"), {.split_file = list.string(), .options = {.resize = 8}}); }),
            "z.zip: the class \"street\" has no picture to train on: the split uses all of it, 1 picture, for validation");
  const auto other = folder.write("other.txt", test::text("sea/01.ppm\n"));
  const auto data = open_training(open_source(zip.bytes(), "z.zip"), {.split_file = other.string(), .options = {.resize = 8}});
  EXPECT_EQ(data->class_counts(data->train()), (std::vector<int64_t>{10, 9, 1})) << "one picture to train on is one";
}

/// train/ and val/ of two classes each, test/ and pred/ beside them.
std::shared_ptr<const Source> photos_with_parts(const std::string& train, const std::string& valid) {
  ZipMaker zip;
  const auto add = [&](const std::string& folder, int n) {
    for (int i = 0; i < n; ++i)
      zip.add(fmt::format("{}/{}/{:02}.ppm", folder, i % 2 ? "sea" : "ice", i), test::as_ppm(test::numbered_picture(i, 8, 8)));
  };
  add(train, 20), add(valid, 6), add("Test", 4);
  zip.add("pred/1.ppm", test::as_ppm(test::numbered_picture(1, 8, 8)));
  return open_source(zip.bytes(), "z.zip");
}

std::vector<std::string> paths_of(const Dataset& data, const std::vector<int64_t>& indices) {
  std::vector<std::string> paths;
  for (const int64_t i : indices) paths.push_back(data.items()[static_cast<size_t>(i)].path);
  return paths;
}

TEST(Training, ValidatesWithTheValidationPartWhereThereIsOne) {
  for (const char* name : {"val", "Valid", "seg_validation"}) {
    const auto data = open_training(photos_with_parts("Train", name), {.options = {.resize = 8}});
    EXPECT_EQ(data->train().size(), 20u);
    ASSERT_EQ(data->valid().size(), 6u);
    for (const std::string& path : paths_of(*data, data->valid())) EXPECT_TRUE(path.starts_with(name)) << path;
    for (const std::string& path : paths_of(*data, data->train())) EXPECT_TRUE(path.starts_with("Train/")) << path;
    EXPECT_EQ(data->origin().train, std::vector{"Train"s});
    EXPECT_EQ(data->origin().valid, std::vector{std::string(name)});
    ASSERT_EQ(data->origin().aside.size(), 2u);
    EXPECT_EQ(data->origin().aside[0].path, "Test");
    EXPECT_EQ(data->origin().aside[1].path, "pred");
    const auto again = open_validation(photos_with_parts("Train", name), {.options = {.resize = 8, .vocabulary = {"sea", "ice"}}});
    EXPECT_EQ(again->valid(), data->valid());
    EXPECT_EQ(again->items(), data->items());
  }
}

TEST(Training, AGivenShareOrListReplacesTheValidationPart) {
  const auto source = photos_with_parts("train", "val");
  const auto share = open_training(source, {.valid_pct = 0.25, .valid_part = false, .options = {.resize = 8}});
  EXPECT_EQ(share->valid().size(), 5u);
  EXPECT_EQ(share->valid(), random_split(20, 0.25, 42).valid) << "of the training part alone";
  EXPECT_TRUE(share->origin().valid.empty());
  EXPECT_EQ(share->origin().aside.size(), 3u) << "val/ among them";
  const test::TempFolder folder;
  const auto list = folder.write("valid.txt", test::text("train/sea/01.ppm\n"));
  EXPECT_EQ(paths_of(*open_training(source, {.split_file = list.string(), .options = {.resize = 8}}),
                     open_training(source, {.split_file = list.string(), .options = {.resize = 8}})->valid()),
            std::vector{"train/sea/01.ppm"s});
}

TEST(Training, AClassOfTheValidationPartAloneIsReported) {
  ZipMaker zip;
  for (const char* path : {"train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/c/4.jpg"}) zip.add(path, test::text("x"));
  EXPECT_EQ(test::sentence_of<DataError>([&] { open_training(open_source(zip.bytes(), "z.zip"), {}); }),
            "z.zip: the class \"c\" has no picture to train on: it has 1 picture only in \"val\", the validation part");
}

TEST(BadDataset, OneClassIsReported) {
  const auto source = open_source(ZipMaker().add("sea/1.jpg", test::text("x")).add("sea/2.jpg", test::text("x")).bytes(), "z.zip");
  EXPECT_NE(test::sentence_of<DataError>([&] { open_training(source, {}); }).find("one class (\"sea\")"), std::string::npos);
}

TEST(BadDataset, AValidationLabelThatIsNotTrainedOnIsReported) {
  const auto source = open_source(ZipMaker().add("a/1.jpg", {}).add("b/2.jpg", {}).add("c/3.jpg", {}).bytes(), "z.zip");
  auto items = find_items(*source).items;
  EXPECT_EQ(test::sentence_of<DataError>([&] {
              Dataset(source, items, {.train = {0, 1}, .valid = {2}});
            }),
            "c/3.jpg has the class \"c\", which is not one of the training classes (a, b)");
  EXPECT_THROW(Dataset(source, items, {.train = {0, 1, 3}, .valid = {}}), ShapeError);
}

TEST(Evaluation, TakesTheTestPartUnderTheModelsVocabulary) {
  const auto source =
      open_source(ZipMaker().add("s/train/a/1.jpg", {}).add("s/test/b/2.jpg", {}).add("s/test/a/3.jpg", {}).bytes(), "z.zip");
  const auto data = open_evaluation(source, {.resize = 8, .vocabulary = {"b", "z", "a"}});
  ASSERT_EQ(data->valid().size(), 2u);
  EXPECT_TRUE(data->train().empty());
  EXPECT_EQ(data->label(0), 2);
  EXPECT_EQ(data->label(1), 0);
  EXPECT_THROW(open_evaluation(source, {.resize = 8, .vocabulary = {"a", "c"}}), DataError);
  EXPECT_THROW(open_evaluation(source, {.resize = 8}), UsageError);
}

TEST(OpenValidation, HasThePicturesThatTrainingValidatesWithInTheirOrder) {
  const auto source = pictures(40, 8, 8);
  for (const double share : {0.2, 0.4}) {
    TrainingData wanted{.limit_per_class = 15, .valid_pct = share, .options = {.resize = 8}};
    const auto training = open_training(source, wanted);
    wanted.options.vocabulary = {"odd", "even"};  // the order of a model
    const auto validation = open_validation(source, wanted);
    EXPECT_TRUE(validation->train().empty());
    ASSERT_EQ(validation->valid(), training->valid());
    EXPECT_EQ(validation->items(), training->items());
    EXPECT_EQ(validation->label(validation->valid()[0]), 1 - training->label(training->valid()[0]));
  }
  EXPECT_THROW(open_validation(source, {.valid_pct = 0, .options = {.vocabulary = {"even", "odd"}}}), DataError);
  EXPECT_THROW(open_validation(source, {.options = {.vocabulary = {"even"}}}), DataError);
  EXPECT_THROW(open_validation(source, {}), UsageError);
}

TEST(Training, TakesTheSplitFile) {
  const test::TempFolder folder;
  const auto path = folder.write("valid.txt", test::text("even/0002.ppm\nodd/0005.ppm\n"));
  const auto data = open_training(pictures(10, 8, 8), {.split_file = path.string(), .options = {.resize = 8}});
  std::set<std::string> valid;
  for (const int64_t i : data->valid()) valid.insert(data->items()[static_cast<size_t>(i)].path);
  EXPECT_EQ(valid, (std::set{"even/0002.ppm"s, "odd/0005.ppm"s}));
}

}  // namespace
}  // namespace mirilla::data
