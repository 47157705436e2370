// SPDX-License-Identifier: MIT
#include "data/split.h"

#include <algorithm>

#include "tests/data/support.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"

// RandomSplitter, index for index. make_split.py says what is stored per split.
namespace mirilla::parity {
namespace {

using Indices = std::vector<int64_t>;

bool is_stored(const Indices& part, const nlohmann::json& stored) {
  std::string bytes;
  for (const int64_t index : part)
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(static_cast<uint64_t>(index) >> shift));
  const auto few = std::min<ptrdiff_t>(5, static_cast<ptrdiff_t>(part.size()));
  return part.size() == stored["n"] && Indices(part.begin(), part.begin() + few) == stored["first"].get<Indices>() &&
         Indices(part.end() - few, part.end()) == stored["last"].get<Indices>() &&
         fmt::format("{:016x}", test::fnv1a64(bytes)) == stored["digest"];
}

/// Compares the stored splits whose validation share is that of the course, or is not.
void report_splits(const std::string& id, const std::string& what, bool usual_share, int least) {
  const auto oracle = nlohmann::json::parse(std::ifstream(MIRILLA_SOURCE_DIR "/tests/oracle/split/split.json"));
  int differ = 0, compared = 0;
  for (const auto& one : oracle["splits"]) {
    if ((one["valid_pct"] == 0.2) != usual_share) continue;
    const data::Split split = data::random_split(one["n"], one["valid_pct"], one["seed"].get<uint64_t>());
    differ += !is_stored(split.train, one["train"]) + !is_stored(split.valid, one["valid"]);
    ++compared;
  }
  EXPECT_GE(compared, least);
  report({.id = id,
          .what = what,
          .against = fmt::format("fastai {}'s RandomSplitter", oracle["made_with"]["fastai"].get<std::string>()),
          .measured = static_cast<double>(differ),
          .tolerance = 0,
          .unit = "parts that differ",
          .tolerance_because = "integers on both sides; a digest of all indices in their order is stored"});
}

TEST(SplitParity, SplitsAreFastais) {
  report_splits("split.random",
                "training and validation parts of 10, 1000, 3000 and 14034 items, valid_pct .2, nine seeds up to 2^32 + 5 each", true, 36);
}

TEST(SplitParity, OtherSharesAreFastais) {
  report_splits("split.shares", "valid_pct .1, .29, .57 and .7 of 10, 1000 and 3000 items, where int() cuts one off in some", false, 12);
}

}  // namespace
}  // namespace mirilla::parity
