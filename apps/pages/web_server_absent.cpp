// SPDX-License-Identifier: MIT
#include "apps/pages/web_server.h"

// Compiled if cpp-httplib was not found when the program was built.
namespace mirilla::pages {

bool can_serve() { return false; }

void serve(PhotoService&, const ServeOptions&, const std::function<void(const std::string&)>&, const std::atomic<bool>&) {
  throw Error("this program was built without cpp-httplib, so it cannot serve",
              "install libcpp-httplib-dev (tools/setup does) and build again");
}

}  // namespace mirilla::pages
