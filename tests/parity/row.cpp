// SPDX-License-Identifier: MIT
#include "tests/parity/row.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace mirilla::parity {

void report(const Row& row) {
  EXPECT_LE(row.measured, row.tolerance) << row.id << ": " << row.what << ", " << row.unit;
  const char* path = std::getenv("MIRILLA_PARITY_ROWS");
  if (!path) return;
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  nlohmann::ordered_json line{{"id", row.id},
                              {"what", row.what},
                              {"against", row.against},
                              {"measured", row.measured},  // null where it is not finite
                              {"tolerance", row.tolerance},
                              {"unit", row.unit},
                              {"because", row.tolerance_because},
                              {"green", row.measured <= row.tolerance},
                              {"test", std::string(test->test_suite_name()) + "." + test->name()}};
  std::ofstream file(path, std::ios::app);
  file << line.dump() << '\n';
  ASSERT_TRUE(file.flush()) << path << " cannot be written";
}

}  // namespace mirilla::parity
