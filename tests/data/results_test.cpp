// SPDX-License-Identifier: MIT
#include "data/results.h"

#include "data/items.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using Lines = std::vector<std::string>;
using test::text;

const std::string kConfig = R"({"data": "photos", "arch": "resnet18", "vocab": ["a", "b"]})";

// Files with their content; pictures have none that matters here.
std::shared_ptr<const Source> source_of(const std::vector<std::pair<std::string, std::string>>& files) {
  test::ZipMaker zip;
  for (const auto& [path, content] : files) zip.add(path, text(content));
  return open_source(zip.bytes(), "z.zip");
}

Lines taken(const Source& source) {
  Lines paths;
  for (const Item& item : find_items(source).items) paths.push_back(item.path);
  return paths;
}

TEST(Results, OfAnEarlierRunAreNoPicturesOfAClass) {
  const auto source = source_of({{"a/1.jpg", ""},
                                 {"b/2.jpg", ""},
                                 {"out/config.json", kConfig},
                                 {"out/loss.png", ""},
                                 {"out/model.safetensors", ""},
                                 {"out/earlier/config.json", kConfig},
                                 {"out/earlier/loss.png", ""},
                                 {"find/lr_find.csv", "iteration,lr,loss\n"},
                                 {"find/lr_find.png", ""},
                                 {"wrong/confusion.csv", "actual\\predicted,a,b\n"},
                                 {"wrong/confusion.png", ""},
                                 {"wrong/top_losses.png", ""}});
  EXPECT_EQ(taken(*source), (Lines{"a/1.jpg", "b/2.jpg"}));
  EXPECT_EQ(find_items(*source).notes,
            Lines{"5 plots of an earlier run of Mirilla, in \"find\", \"out\", \"out/earlier\" and \"wrong\", are left out"});
}

TEST(Results, MakeNoPartEither) {
  const auto source = source_of({{"train/a/1.jpg", ""},
                                 {"train/b/2.jpg", ""},
                                 {"train/test/config.json", kConfig},
                                 {"train/test/loss.png", ""},
                                 {"val/out/config.json", kConfig},
                                 {"val/out/loss.png", ""}});
  const ItemList list = find_items(*source);
  ASSERT_EQ(list.layout.folders.size(), 1u);
  EXPECT_EQ(list.layout.folders[0].path, "train");
  EXPECT_EQ(list.layout.folders[0].pictures, 2);
  EXPECT_EQ(list.items.size(), 2u);
}

TEST(Results, LeaveAClassThatTheyWereWrittenInto) {
  const auto source = source_of({{"a/1.jpg", ""}, {"a/config.json", kConfig}, {"a/loss.png", ""}, {"b/2.jpg", ""}});
  EXPECT_EQ(taken(*source), (Lines{"a/1.jpg", "b/2.jpg"}));
}

TEST(Results, ArePicturesLikeOthersWhereNothingSaysThatTheyAreOurs) {
  const auto source = source_of({{"a/loss.png", ""},
                                 {"b/config.json", R"({"arch": "resnet18"})"},
                                 {"b/loss.png", ""},
                                 {"c/lr_find.csv", "some table"},
                                 {"c/lr_find.png", ""},
                                 {"d/confusion.png", ""},
                                 {"e/config.json", kConfig},
                                 {"e/my_loss.png", ""}});
  EXPECT_EQ(taken(*source), (Lines{"a/loss.png", "b/loss.png", "c/lr_find.png", "d/confusion.png", "e/my_loss.png"}));
}

}  // namespace
}  // namespace mirilla::data
