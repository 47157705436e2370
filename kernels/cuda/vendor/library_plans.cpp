// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/library_plans.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <mutex>

#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/platform/platform.h"

namespace mirilla::cuda::vendor {

namespace {

struct Stores {
  std::mutex mutex;
  std::map<std::pair<std::string, int>, std::unique_ptr<PlanStore>> by_library;  // and GPU
};

Stores& stores() {
  static Stores& stores = *std::make_unique<Stores>().release();  // a tensor in a static object may outlive everything else
  return stores;
}

}  // namespace

PlanStore& plans_of(const std::string& library, LibraryVersion version) {
  const std::lock_guard lock(stores().mutex);
  std::unique_ptr<PlanStore>& store = stores().by_library[{library, chosen()}];
  if (!store) {
    const int driver = facts().driver_version;
    store = std::make_unique<PlanStore>(plan_store_path(), PlanOwner{facts().name, fmt::format("{}.{}", driver / 1000, driver % 1000 / 10),
                                                                     library, version_text(version)});
  }
  return *store;
}

}  // namespace mirilla::cuda::vendor

namespace mirilla::cuda {

std::vector<std::string> take_plan_notes() {
  vendor::Stores& all = vendor::stores();
  const std::lock_guard lock(all.mutex);
  std::vector<std::string> notes;
  for (auto& [owner, store] : all.by_library)
    for (std::string& note : store->take_notes()) notes.push_back(std::move(note));
  return notes;
}

}  // namespace mirilla::cuda
