// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/core/operations.h"

namespace mirilla {

class Backend;

namespace detail {

/// One row of a device's table: the function that computes an operation, or null.
template <class T>
struct Row {
  void (*kernel)(Backend& self, const T& call) = nullptr;
  bool present() const { return kernel != nullptr; }
};

/// A form has no function of its own.
template <Form T>
struct Row<T> {
  bool listed = false;
  bool present() const { return listed; }
};

template <class Core, class Optional>
struct Rows;
template <class... Core, class... Optional>
struct Rows<Operations<Core...>, Operations<Optional...>> : Row<Core>..., Row<Optional>... {
  template <class T>
  Row<T>& row() {
    return *this;  // an error here: T is in neither list of kernels/core/operations.h
  }
  template <class T>
  const Row<T>& row() const {
    return *this;
  }
};

}  // namespace detail

/// The table of operations of one device: one row for each operation of kernels/core/operations.h. A class derived from Implements
/// (kernels/core/implements.h) fills it.
///
///   if (backend.has<op::Conv2dBiasAddRelu>()) backend.run(op::Conv2dBiasAddRelu{.x = x, .w = w, ...});
///
/// The contract of an operation is in its header, kernels/core/ops. Each reads its ConstViews and writes every element of its Views (it
/// never adds to what is there, unless its comment says so). Pictures are (N,H,W,C), convolution weights (K,R,S,C) = (out, height, width,
/// in). Shapes and dtypes were checked by engine/ops; a kernel relies on this. Views do not overlap unless its comment says so. No
/// operation waits for the device.
///
/// Half precision. Where values are f16 or bf16, all arithmetic and every sum is in f32 and is rounded once, when the result is stored. All
/// float views of a call have one dtype, with these exceptions:
///
///   f32 beside a half x      batch norm's mean, inv_std, weight, bias, running statistics, dweight, dbias; the bias of conv2d and add_bias
///   f32 or like a half x     the bias of conv2d_bias_add_relu
///   halves beside f32        a gradient of adam
///   f32 from half inputs     may be written by conv2d_backward_weight (dw), matmul, sum and sum_rows (y)
///   always f32               cross_entropy's losses and dlogits, grad_cam's weights and map
///   half from f32            may be written by multiply where b is one element, and by augment
///
/// Special values. A NaN, an infinity, a -0 and a subnormal in any input give what IEEE arithmetic makes of the formula, as in PyTorch: no
/// operation turns a NaN into a number, and none flushes subnormals, in whatever form it runs. Where there is a choice:
///
///   relu and fused relu      a NaN stays, -0 stays -0, backward gives 0 where y <= 0, so that dy passes where y is NaN
///   max pools, argmax        a NaN wins; of several NaN the last in a pool, the first in argmax
///   dropout                  a dropped element is 0 times what it was
///   cast to an integer       NaN gives 0, a value out of range gives the end of the range (undefined in PyTorch)
///   padding                  adds 0 times the weight: 0, or NaN for a weight that is not finite. Devices differ here, as PyTorch's
///                            kernels do; reference adds nothing. The same holds for the backward passes
///   sums beyond f32          a sum that leaves the range of f32 on the way, or has a term or a partial sum that does, is infinite,
///                            NaN or (where a device adds in f64) right, depending on the order. Never another number
///   batch_norm_statistics    large values are summed in f64: a variance beyond f32 still gives its inv_std, and running_var is infinite
///                            (PyTorch: an inv_std of 0, and so y = bias)
///   adam                     g^2 beyond f32 makes v infinite, and the parameter then only decays
///   the sign of a zero       is IEEE's where an operation selects, moves or rounds once (fill to relu_backward, add_bias, max pools,
///                            concat, split, transpose) and is not promised elsewhere; a dropped element is +0
///
/// tests/kernels/special tries each special value in each input of each operation, on every device.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;
  /// Called when a storage is freed: drops what was kept for it.
  virtual void forget(uint64_t storage_id) { static_cast<void>(storage_id); }

  /// Whether the device has this operation, or this form of one.
  template <class T>
  bool has() const {
    return table_.template row<T>().present();
  }

  /// Whether the device computes this call in halves throughout and would only convert at its ends: a gradient of f32 weights from halves
  /// is made in halves and then widened, an f32 bias beside them is rounded first. A caller that gives the view in x's dtype instead then
  /// gets the same values without the conversion. The addresses of what is converted need not be there yet. May choose the device's plan
  /// for the call, as running it would.
  virtual bool rounds(const op::Conv2dBackwardWeight& call) { return static_cast<void>(call), false; }
  virtual bool rounds(const op::Conv2dBiasAddRelu& call) { return static_cast<void>(call), false; }

  /// Computes the call. Throws DeviceError, which names both, where the device lacks the operation, a form that the call asks for, or a
  /// dtype.
  template <Operation T>
  void run(const T& call) {
    const auto kernel = table_.template row<T>().kernel;
    if (kernel == nullptr) missing(T::kName);
    if constexpr (requires { typename T::Forms; }) want_forms(call, typename T::Forms());
    kernel(*this, call);
  }

 protected:
  using Table = detail::Rows<CoreOperations, OptionalOperations>;
  explicit Backend(const Table& table) : table_(table) {}

 private:
  template <class T, class... Forms>
  void want_forms(const T& call, Operations<Forms...>) const {
    ((Forms::asked(call) && !has<Forms>() ? missing(Forms::kName) : void()), ...);
  }
  [[noreturn]] void missing(std::string_view operation) const;

  Table table_;
};

}  // namespace mirilla
