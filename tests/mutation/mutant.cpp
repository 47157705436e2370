// SPDX-License-Identifier: MIT
#include "tests/mutation/mutant.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

namespace mirilla::mutation {

namespace {

const char* trace_file() { return std::getenv("MIRILLA_MUTANT_TRACE"); }

// One line per test: its name, its milliseconds, the mutants it reached.
class Tracer : public testing::EmptyTestEventListener {
 public:
  void OnTestStart(const testing::TestInfo&) override {
    for (auto& reached : g_reached) reached = false;
  }
  void OnTestEnd(const testing::TestInfo& test) override {
    file_ << test.test_suite_name() << '.' << test.name() << '\t' << test.result()->elapsed_time() << '\t';
    for (size_t i = 0; i < g_reached.size(); ++i)
      if (g_reached[i]) file_ << i << ' ';
    file_ << std::endl;
  }

 private:
  std::ofstream file_{trace_file()};
};

}  // namespace

const int g_alive = [] {
  const char* const number = std::getenv("MIRILLA_MUTANT");
  return number ? std::atoi(number) : 0;
}();
const bool g_tracing = trace_file() != nullptr;
std::array<std::atomic<bool>, kMost> g_reached{};

}  // namespace mirilla::mutation

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (mirilla::mutation::g_tracing) testing::UnitTest::GetInstance()->listeners().Append(new mirilla::mutation::Tracer);
  const int failed = RUN_ALL_TESTS();
  std::cout.flush();
  std::_Exit(failed);  // counts of lines, leaks and destructors take longer than most mutants' tests
}
