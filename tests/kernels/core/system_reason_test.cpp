// SPDX-License-Identifier: MIT
#include "kernels/core/system_reason.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

namespace mirilla {
namespace {

TEST(SystemReason, IsPlainWordsForEveryErrorAndNeverTheLibrarysText) {
  for (int error = 0; error < 140; ++error) {
    const std::string reason = system_reason(error);
    EXPECT_FALSE(reason.empty()) << error;
    EXPECT_NE(reason, std::strerror(error)) << error;
  }
  EXPECT_EQ(system_reason(ENOENT), "there is no such file or folder");
  EXPECT_EQ(system_reason(std::make_error_code(std::errc::no_space_on_device)), "no space is left on the disk");
  EXPECT_EQ(system_reason(std::error_code(ENOSPC, std::system_category())), "no space is left on the disk");
  EXPECT_EQ(system_reason(std::make_error_code(std::io_errc::stream)), "the system does not say why")
      << "its number is none of the system's";
}

}  // namespace
}  // namespace mirilla
