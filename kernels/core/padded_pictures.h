// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace mirilla {

/// A pixel of three halves is 6 bytes, which no access of a GPU fits, nor any of cuDNN's kernels. So pictures may come with a fourth
/// channel of zeros: products with zero change no sum.
inline constexpr int64_t kPictureChannels = 3, kPaddedChannels = 4;

namespace op {

struct Augment;
struct Conv2d;
struct Conv2dBiasAddRelu;
struct Conv2dBackwardWeight;

/// The form of Augment that writes the fourth channel, and of the convolutions of pictures that have it, beside weights of three channels.
struct PaddedPictures {
  static constexpr std::string_view kName = "padded_pictures";
  static bool asked(const Augment& call);
  static bool asked(const Conv2d& call);
  static bool asked(const Conv2dBiasAddRelu& call);
  static bool asked(const Conv2dBackwardWeight& call);
};

}  // namespace op

}  // namespace mirilla
