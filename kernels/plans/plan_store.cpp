// SPDX-License-Identifier: MIT
#include "kernels/plans/plan_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"
#include "kernels/core/system_reason.h"

namespace mirilla {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kFormat = 1;
constexpr const char* kMark = "mirilla_plans";

struct Section {
  PlanOwner owner;
  std::map<std::string, StoredPlan, std::less<>> plans;
};

std::string describe(const PlanOwner& owner) {
  return fmt::format("{} {} on {} with driver {}", owner.library, owner.version, owner.gpu, owner.driver);
}

json to_json(const Section& section) {
  json plans = json::object();
  for (const auto& [key, plan] : section.plans) plans[key] = {{"plan", plan.text}, {"ms", plan.milliseconds}};
  const PlanOwner& o = section.owner;
  return {{"gpu", o.gpu}, {"driver", o.driver}, {"library", o.library}, {"version", o.version}, {"plans", std::move(plans)}};
}

// Throws json::exception where it is not what to_json writes.
Section from_json(const json& value) {
  Section section{.owner = {value.at("gpu"), value.at("driver"), value.at("library"), value.at("version")}, .plans = {}};
  for (const auto& [key, plan] : value.at("plans").items()) {
    const StoredPlan stored{plan.at("plan"), plan.at("ms")};
    if (std::isfinite(stored.milliseconds) && stored.milliseconds >= 0) section.plans.emplace(key, stored);
  }
  return section;
}

std::string dump(const std::vector<Section>& sections) {
  json all = json::array();
  for (const Section& section : sections) all.push_back(to_json(section));
  return json{{kMark, kFormat}, {"owners", std::move(all)}}.dump(1) + "\n";
}

struct Contents {
  std::vector<Section> sections;
  std::string problem;  // empty, or the reason why the file counts as empty
};

Contents parse(const std::string& text) {
  try {
    const json value = json::parse(text);
    if (value.at(kMark) != kFormat) return {{}, "is of another format"};
    Contents contents;
    for (const json& section : value.at("owners")) contents.sections.push_back(from_json(section));
    return contents;
  } catch (const json::exception&) {
    return {{}, "is damaged"};
  }
}

Contents read(const fs::path& file) {
  std::error_code failed;
  if (!fs::exists(file, failed)) return {};
  if (!fs::is_regular_file(file, failed)) return {{}, "is not a file"};
  const uintmax_t bytes = fs::file_size(file, failed);
  if (failed) return {{}, "cannot be read"};
  if (bytes > PlanStore::kMostBytes) return {{}, fmt::format("has {} bytes, more than {}", bytes, PlanStore::kMostBytes)};
  std::string text(bytes, '\0');
  std::ifstream stream(file, std::ios::binary);
  if (!stream.read(text.data(), static_cast<std::streamsize>(bytes))) return {{}, "cannot be read"};
  return parse(text);
}

// Same chip and library, but measured under another driver or version.
bool outdated(const PlanOwner& stored, const PlanOwner& now) {
  return stored.gpu == now.gpu && stored.library == now.library && !(stored == now);
}

Section* section_of(std::vector<Section>& sections, const PlanOwner& owner) {
  const auto found = std::find_if(sections.begin(), sections.end(), [&](const Section& section) { return section.owner == owner; });
  return found == sections.end() ? nullptr : &*found;
}

// Held by one thread of one process at a time. Where the file system has no locks, writers may lose each other's plans; nothing else can go
// wrong.
class FileLock {
 public:
  explicit FileLock(const fs::path& file) : descriptor_(::open((file.string() + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666)) {
    if (descriptor_ >= 0) static_cast<void>(::flock(descriptor_, LOCK_EX));
  }
  ~FileLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace

PlanStore::PlanStore(fs::path file, PlanOwner owner) : file_(std::move(file)), owner_(std::move(owner)) {
  if (file_.empty()) return;
  Contents contents = read(file_);
  if (!contents.problem.empty()) note(fmt::format("the plan store '{}' {} and is built anew", file_.string(), contents.problem));
  if (Section* const mine = section_of(contents.sections, owner_)) plans_ = std::move(mine->plans);
  for (const Section& section : contents.sections)
    if (outdated(section.owner, owner_))
      note(fmt::format("the plan store '{}' holds plans of {}, which are built anew for {}", file_.string(), describe(section.owner),
                       describe(owner_)));
}

std::optional<StoredPlan> PlanStore::find(std::string_view key) const {
  const std::lock_guard lock(mutex_);
  const auto found = plans_.find(key);
  if (found == plans_.end()) return std::nullopt;
  return found->second;
}

void PlanStore::put(std::string_view key, const StoredPlan& plan) {
  const std::lock_guard lock(mutex_);
  plans_.insert_or_assign(std::string(key), plan);
  if (!file_.empty() && writable_) save();
}

size_t PlanStore::size() const {
  const std::lock_guard lock(mutex_);
  return plans_.size();
}

void PlanStore::save() {
  try {
    if (file_.has_parent_path()) fs::create_directories(file_.parent_path());
    const FileLock lock(file_);
    std::vector<Section> sections = read(file_).sections;
    std::erase_if(sections, [&](const Section& section) { return outdated(section.owner, owner_); });
    Section* mine = section_of(sections, owner_);
    if (!mine) mine = &sections.emplace_back(Section{owner_, {}});
    plans_.merge(mine->plans);  // ours win; plans of other processes are added
    mine->plans = plans_;
    const std::string text = dump(sections);
    if (text.size() > kMostBytes) throw Error(fmt::format("its {} bytes would be more than {}", text.size(), kMostBytes));
    write_atomically(file_, text);
  } catch (const Error& error) {
    give_up(error.message());
  } catch (const fs::filesystem_error& error) {
    give_up(fmt::format("'{}': {}", error.path1().string(), system_reason(error.code())));
  } catch (const std::exception&) {  // from JSON, or out of memory
    give_up("a plan in it cannot be written");
  }
}

void PlanStore::give_up(std::string_view why) {
  note(fmt::format("the plan store '{}' is not kept: {}", file_.string(), why));
  writable_ = false;
}

std::string PlanStore::text() const {
  const std::lock_guard lock(mutex_);
  return dump({{owner_, plans_}});
}

size_t PlanStore::adopt(std::string_view text) {
  Contents contents = parse(std::string(text));
  if (!contents.problem.empty()) throw WeightsError(fmt::format("the stored plans here {}", contents.problem.replace(0, 2, "are")));
  const std::lock_guard lock(mutex_);
  Section* const mine = section_of(contents.sections, owner_);
  if (!mine) return 0;
  const size_t taken = mine->plans.size();
  mine->plans.merge(plans_);
  plans_ = std::move(mine->plans);
  return taken;
}

std::vector<std::string> PlanStore::take_notes() {
  const std::lock_guard lock(mutex_);
  return std::exchange(notes_, {});
}

void PlanStore::note(std::string sentence) { notes_.push_back(std::move(sentence)); }

fs::path plan_store_path() {
  const auto said = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (const std::string file = said("MIRILLA_PLAN_STORE"); !file.empty()) return file == "off" ? fs::path() : fs::path(file);
  if (const fs::path cache = said("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "mirilla" / "plans.json";
  if (const fs::path home = said("HOME"); home.is_absolute()) return home / ".cache" / "mirilla" / "plans.json";
  return {};
}

}  // namespace mirilla
