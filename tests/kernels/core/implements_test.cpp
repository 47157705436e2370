// SPDX-License-Identifier: MIT
// What a device's table says of itself, with a device made for it.
#include "kernels/core/implements.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/core/error.h"

namespace mirilla {
namespace {

/// Notes the calls that it gets, and computes nothing.
template <class... Lists>
class Noting final : public Implements<Noting<Lists...>, Lists...> {
 public:
  std::string_view name() const override { return "noting"; }
  template <class T>
  void execute(const T&) {
    calls.emplace_back(T::kName);
  }

  std::vector<std::string> calls;
};

using CoreOnly = Noting<CoreOperations>;
using WithPool = Noting<CoreOperations, Operations<op::AdaptiveConcatPool2d, op::BatchNormAddRelu>>;

TEST(Implements, HasWhatItsListsNameAndNothingElse) {
  const CoreOnly core;
  EXPECT_TRUE(core.has<op::Relu>());
  EXPECT_FALSE(core.has<op::AdaptiveConcatPool2d>());
  EXPECT_FALSE(core.has<op::BatchNormAddRelu>());
  const WithPool pool;
  EXPECT_TRUE(pool.has<op::Relu>());
  EXPECT_TRUE(pool.has<op::AdaptiveConcatPool2d>());
  EXPECT_TRUE(pool.has<op::BatchNormAddRelu>());
  EXPECT_FALSE(pool.has<op::AdaptiveConcatPool2dBackward>());
  EXPECT_FALSE(pool.has<op::ReluMask>());
}

TEST(Implements, RunsEachOperationByTheFunctionOfItsType) {
  WithPool device;
  Backend& backend = device;
  backend.run(op::Relu{});
  backend.run(op::ReluBackward{});
  backend.run(op::AdaptiveConcatPool2d{});
  EXPECT_EQ(device.calls, (std::vector<std::string>{"relu", "relu_backward", "adaptive_concat_pool2d"}));
}

template <class Call>
std::string message_of(Backend& backend, const Call& call) {
  try {
    backend.run(call);
  } catch (const DeviceError& error) {
    return error.message();
  }
  return "no error";
}

TEST(Implements, NamesTheDeviceAndTheOperationOrFormThatItLacks) {
  CoreOnly core;
  EXPECT_EQ(message_of(core, op::AdaptiveConcatPool2d{}), "the device 'noting' has no adaptive_concat_pool2d");
  EXPECT_EQ(message_of(core, op::BatchNormApply{.relu = true}), "the device 'noting' has no batch_norm_add_relu");
  const View present{nullptr, {0}, DType::u8, true};
  EXPECT_EQ(message_of(core, op::BatchNormBackward{.dresidual = present}), "the device 'noting' has no batch_norm_add_relu");
  WithPool pool;
  EXPECT_EQ(message_of(pool, op::BatchNormApply{.relu = true}), "no error");
  EXPECT_EQ(message_of(pool, op::BatchNormApply{.mask = present}), "the device 'noting' has no relu_mask");
  EXPECT_EQ(message_of(pool, op::BatchNormBackward{.relu = true}), "the device 'noting' has no relu_mask");
  EXPECT_TRUE(core.calls.empty());
}

TEST(Operations, ListTheirViewsInTheCall) {
  op::BatchNormApply call;
  int inputs = 0, outputs = 0;
  for_each_view(call, [&]<class V>(V& view) {
    ++(std::is_same_v<V, View> ? outputs : inputs);
    view.present = true;
  });
  EXPECT_EQ(inputs, 6);
  EXPECT_EQ(outputs, 3);
  EXPECT_TRUE(call.residual && call.mask) << "the views are those of the call, not copies";
}

/// What a call holds beside the views that it lists must be smaller than a view: one that is not listed would not be widened.
template <class T>
constexpr bool lists_every_view() {
  if constexpr (!Operation<T>)
    return true;
  else {
    const auto bytes = []<class... V>(const std::tuple<V&...>*) { return (sizeof(V) + ... + 0); };
    return sizeof(T) - bytes(static_cast<decltype(T::views(std::declval<T&>()))*>(nullptr)) < sizeof(View);
  }
}

struct Forgets {
  static constexpr std::string_view kName = "forgets";
  ConstView x, bias;
  View y;
  static auto views(auto& call) { return std::tie(call.x, call.y); }
};

TEST(Operations, ListEveryViewOfTheCall) {
  EXPECT_FALSE(lists_every_view<Forgets>());
  const auto expect_all = []<class T>() { EXPECT_TRUE(lists_every_view<T>()) << T::kName; };
  [&]<class... T>(Operations<T...>) { (expect_all.template operator()<T>(), ...); }(CoreOperations());
  [&]<class... T>(Operations<T...>) { (expect_all.template operator()<T>(), ...); }(OptionalOperations());
}

}  // namespace
}  // namespace mirilla
