// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "kernels/core/error.h"

namespace mirilla::test {

/// A variable of the environment, set (or, for "", removed) while this object lives.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    value.empty() ? unsetenv(name) : setenv(name, value.c_str(), 1);
  }
  ~Environment() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

/// What `f` throws, as E; fails the test where it throws nothing.
template <class E, class F>
E thrown(F&& f) {
  try {
    f();
  } catch (const E& error) {
    EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.what();
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return E("nothing was thrown");
}

}  // namespace mirilla::test
