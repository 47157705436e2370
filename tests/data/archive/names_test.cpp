// SPDX-License-Identifier: MIT
#include "data/archive/names.h"

#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;

TEST(Shown, LeavesCleanNamesAsTheyAre) {
  for (const std::string name : {"", "sea", "forêt", "straße 1", "海", "🌊", "a\\b", "\\x", "\\xg0", "é\u0301"})
    EXPECT_EQ(shown(name), name);
}

TEST(Shown, WritesEachByteThatIsNoTextAsAnEscape) {
  EXPECT_EQ(shown("for\xEAt"), "for\\xEAt");
  EXPECT_EQ(shown("a\nb\x1b[31m\x7f"), "a\\x0Ab\\x1B[31m\\x7F");
  EXPECT_EQ(shown("\u009b1m"), "\\xC2\\x9B1m") << "C1, a terminal's other way to begin an escape";
  EXPECT_EQ(shown("gpj.\u202Eexe"), "gpj.\\xE2\\x80\\xAEexe") << "turns the direction of writing";
  EXPECT_EQ(shown("\xC0\xAF"), "\\xC0\\xAF") << "overlong";
  EXPECT_EQ(shown("\xED\xA0\x80"), "\\xED\\xA0\\x80") << "half of a surrogate pair";
  EXPECT_EQ(shown("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80") << "beyond Unicode";
  EXPECT_EQ(shown("\xE2\x82"), "\\xE2\\x82") << "cut off";
}

TEST(Shown, IsTakenBackAndNeverMakesTwoNamesOne) {
  const std::vector<std::string> names{"for\xEAt", "for\\xEAt", "for\\x5CxEAt", "for\\\xEAt", "for\xC3\xAAt",
                                       "\\x4\x01", "\\",        "\\x",          "\n\\x0A"};
  std::set<std::string> all;
  for (const std::string& name : names) {
    EXPECT_EQ(unshown(shown(name)), name);
    EXPECT_TRUE(all.insert(shown(name)).second) << shown(name);
    EXPECT_EQ(nlohmann::json::parse(nlohmann::json(shown(name)).dump()), shown(name)) << "JSON takes it";
  }
  for (int a = 1; a < 256; ++a) {
    for (int b = 1; b < 256; ++b) {
      const std::string name{static_cast<char>(a), static_cast<char>(b)};
      EXPECT_EQ(unshown(shown(name)), name) << a << " " << b;
    }
  }
}

TEST(Shown, HasAReadingInLatin1WhereItsBytesAreLettersThere) {
  EXPECT_EQ(as_latin1(shown("for\xEAt")), "forêt");
  EXPECT_EQ(as_latin1(shown("a\x1b")), "");
  EXPECT_EQ(as_latin1("sea"), "sea");
}

TEST(Printable, KeepsLinesAndWhatShownMade) {
  EXPECT_EQ(printable("mirilla: for\\xEAt\n  hint: \t\x1b]0;x\x07 m\xE9r"), "mirilla: for\\xEAt\n  hint: \t\\x1B]0;x\\x07 m\\xE9r");
}

TEST(Shortened, KeepsBothEndsAndWholeCharacters) {
  EXPECT_EQ(shortened("short", 10), "short");
  const std::string text = shortened(std::string(1000, 'a') + "end", 40);
  EXPECT_EQ(text.size(), 40u);
  EXPECT_TRUE(text.starts_with("aaaa") && text.ends_with("aend")) << text;
  for (size_t most = 4; most < 30; ++most) {
    std::string waves;
    for (int i = 0; i < 20; ++i) waves += "🌊é";
    EXPECT_EQ(printable(shortened(waves, most)), shortened(waves, most)) << most;
    EXPECT_LE(shortened(waves, most).size(), most);
  }
}

TEST(NameKey, IsOneForBlanksCapitalsAndNormalForms) {
  const std::pair<std::string, std::string> alike[] = {
      {"forest", "forest "},
      {"rain forest", " Rain\u00A0Forest"},
      {"forêt", "fore\u0302t"},  // NFC, NFD
      {"FORÊT", "fore\u0302t"},
      {"Việt", "Vie\u0323\u0302t"},  // two marks
      {"Việt", "Vie\u0302\u0323t"},  // in either order
      {"Море", "море"},
      {"Йод", "И\u0306од"},
      {"ΘΆΛΑΣΣΑ", "θα\u0301λασσα"},
      {"がく", "か\u3099く"},
      {"각", "\u1100\u1161\u11A8"},  // Hangul
      {"한글", "\u1112\u1161\u11AB\u1100\u1173\u11AF"},
      {"Å", "\u212B"},  // the Ångström sign
  };
  for (const auto& [a, b] : alike) EXPECT_EQ(name_key(a), name_key(b)) << a;
  const std::pair<std::string, std::string> different[] = {{"forest", "forests"}, {"forêt", "foret"}, {"が", "か"}, {"a\xEA", "a\xEB"},
                                                           {"각", "가"},          {"ß", "ss"},        {"Й", "И"}};
  for (const auto& [a, b] : different) EXPECT_NE(name_key(a), name_key(b)) << a;
}

TEST(HiddenNames, AreThoseThatProgramsLeaveBesidePeoplesFiles) {
  for (const char* name : {".DS_Store", "._1.jpg", ".Trash-1000", ".git", "__MACOSX", "Thumbs.db", "THUMBS.DB", "desktop.ini",
                           "$RECYCLE.BIN", "System Volume Information", "@eaDir", "#recycle"})
    EXPECT_TRUE(is_hidden_name(name)) << name;
  for (const char* name : {"sea", "1.jpg", "a.b", ".", "..", "", "Thumbs", "MACOSX"}) EXPECT_FALSE(is_hidden_name(name)) << name;
}

TEST(Listed, NamesTheFirstAndCountsTheRest) {
  const std::vector names{"a"s, "b"s, "c"s, "d"s, "e"s};
  EXPECT_EQ(listed(std::span(names).first(0)), "");
  EXPECT_EQ(listed(std::span(names).first(1)), "a");
  EXPECT_EQ(listed(std::span(names).first(2)), "a and b");
  EXPECT_EQ(listed(std::span(names).first(4)), "a, b, c and d");
  EXPECT_EQ(listed(names), "a, b, c and 2 more");
}

TEST(ReasonOf, IsInTheProjectsWords) {
  EXPECT_EQ(reason_of(std::make_error_code(std::errc::permission_denied)), "you have no permission to read it");
  EXPECT_EQ(reason_of({2, std::system_category()}), "it does not exist");
  EXPECT_EQ(reason_of({9999, std::system_category()}), "the system refuses it with error 9999");
}

}  // namespace
}  // namespace mirilla::data
