// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla {

/// The owner of plans: a plan timed on one chip, with one driver and one library, says nothing about another.
struct PlanOwner {
  std::string gpu;      // "NVIDIA H200"
  std::string driver;   // "13.0"
  std::string library;  // "cuDNN"
  std::string version;  // "9.19.0"
  bool operator==(const PlanOwner&) const = default;
};

struct StoredPlan {
  std::string text;         // in the library's format, opaque here; UTF-8
  double milliseconds = 0;  // its time when it was chosen
  bool operator==(const StoredPlan&) const = default;
};

/// Plans chosen by timing, kept from one run to the next: key (operation, shape, type) to plan, in one JSON file that several owners and
/// several processes share.
///
/// A file that cannot be read, is not a plan store, or holds more than kMostBytes counts as empty and the next put replaces it. That put
/// drops plans of the same GPU and library for another driver or version, and keeps those of other GPUs and libraries. If the file cannot
/// be written, only the plans for the next run are lost. None of this throws; each event gives one line in take_notes(), once.
///
/// Each put writes a new file beside the old one and renames it, under a lock, together with the plans that other processes stored
/// meanwhile: no plan is lost, and a reader never sees half a file. All functions may be called from several threads.
class PlanStore {
 public:
  static constexpr size_t kMostBytes = size_t{64} << 20;

  /// Reads `file`; an empty path keeps the plans in memory only.
  PlanStore(std::filesystem::path file, PlanOwner owner);

  std::optional<StoredPlan> find(std::string_view key) const;
  /// Replaces the plan of that key.
  void put(std::string_view key, const StoredPlan& plan);
  size_t size() const;
  const PlanOwner& owner() const { return owner_; }

  /// The owner's plans as one JSON text, for a checkpoint; and the inverse: plans of the same owner replace those stored here, others are
  /// ignored. adopt returns how many it took, and throws WeightsError where the text does not come from text().
  std::string text() const;
  size_t adopt(std::string_view text);

  /// What happened to the file since the last call, one sentence each.
  std::vector<std::string> take_notes();

 private:
  using Plans = std::map<std::string, StoredPlan, std::less<>>;
  void save();
  void note(std::string sentence);
  void give_up(std::string_view why);

  std::filesystem::path file_;
  PlanOwner owner_;
  mutable std::mutex mutex_;
  Plans plans_;
  std::vector<std::string> notes_;
  bool writable_ = true;
};

/// MIRILLA_PLAN_STORE, a file, or "off" for none (an empty path); else plans.json below $XDG_CACHE_HOME/mirilla or ~/.cache/mirilla; an
/// empty path where neither is known.
std::filesystem::path plan_store_path();

}  // namespace mirilla
