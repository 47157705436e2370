// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/float.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

// PTX ISA 9.7.2, arithmetic with the carry flag CC.CF, one per thread. For subtraction it is the borrow.

namespace mirilla::ptx {

namespace {

enum class Operation : u8 { kAdd, kSub, kMadLow, kMadHigh };

template <class T>
struct Sum {
  T value;
  bool carry;
};
template <class T>
Sum<T> plus(T a, T b, bool carry) {
  const unsigned __int128 sum = static_cast<unsigned __int128>(a) + b + (carry ? 1 : 0);
  return {static_cast<T>(sum), (sum >> (8 * sizeof(T))) != 0};
}
template <class T>
Sum<T> minus(T a, T b, bool borrow) {
  const unsigned __int128 taken = static_cast<unsigned __int128>(b) + (borrow ? 1 : 0);
  return {static_cast<T>(static_cast<unsigned __int128>(a) - taken), a < taken};
}

template <class T, bool kSigned>
T high(T a, T b) {
  if constexpr (kSigned) {
    using S = std::make_signed_t<T>;
    return static_cast<T>((static_cast<__int128>(static_cast<S>(a)) * static_cast<S>(b)) >> (8 * sizeof(T)));
  } else {
    return static_cast<T>((static_cast<unsigned __int128>(a) * b) >> (8 * sizeof(T)));
  }
}

/// lookup: 1 reads the flag, 2 writes it.
template <class T, Operation kOperation, bool kSigned>
void run(const Instruction& i, Warp& warp) {
  T* d = warp.at<T>(i.place[0]);
  const T *a = warp.in<T>(i, 1), *b = warp.in<T>(i, 2);
  each_lane(warp.mask, [&](u32 l) {
    const bool flag = (i.lookup & 1u) && (warp.carry_bits >> l & 1u);
    Sum<T> sum;
    if constexpr (kOperation == Operation::kAdd)
      sum = plus(a[l], b[l], flag);
    else if constexpr (kOperation == Operation::kSub)
      sum = minus(a[l], b[l], flag);
    else if constexpr (kOperation == Operation::kMadLow)
      sum = plus<T>(static_cast<T>(a[l] * b[l]), warp.in<T>(i, 3)[l], flag);
    else
      sum = plus<T>(high<T, kSigned>(a[l], b[l]), warp.in<T>(i, 3)[l], flag);
    d[l] = sum.value;
    if (i.lookup & 2u) warp.carry_bits = (warp.carry_bits & ~(1u << l)) | (u32{sum.carry} << l);
  });
}

template <class T>
Handler handler(Operation operation, bool is_signed_type) {
  switch (operation) {
    case Operation::kAdd: return run<T, Operation::kAdd, false>;
    case Operation::kSub: return run<T, Operation::kSub, false>;
    case Operation::kMadLow: return run<T, Operation::kMadLow, false>;
    case Operation::kMadHigh: return is_signed_type ? run<T, Operation::kMadHigh, true> : run<T, Operation::kMadHigh, false>;
  }
  return nullptr;
}

void decode(Form& form, Operation operation, u32 lookup) {
  const Type type = form.take_type();
  if (bytes_of(type) < 4 || !is_integer(type)) form.unknown();
  const size_t sources = operation == Operation::kAdd || operation == Operation::kSub ? 2 : 3;
  form.wants_operands(sources + 1, sources + 1);
  form.to(0, type);
  for (size_t k = 1; k <= sources; ++k) form.from(k, type);
  form.out.lookup = lookup;
  form.sets(bytes_of(type) == 8 ? handler<u64>(operation, is_signed(type)) : handler<u32>(operation, is_signed(type)));
}

void with_flag(Form& form) {  // addc, subc, madc: with .cc they also write the flag
  const u32 lookup = form.take("cc") ? 3 : 1;
  if (form.base() == "addc") return decode(form, Operation::kAdd, lookup);
  if (form.base() == "subc") return decode(form, Operation::kSub, lookup);
  const int part = form.take_one({"lo", "hi"});
  if (part < 0) form.unknown();
  decode(form, part == 0 ? Operation::kMadLow : Operation::kMadHigh, lookup);
}

}  // namespace

void add_with_carry(Form& form) { decode(form, form.base() == "add" ? Operation::kAdd : Operation::kSub, 2); }

void mad_with_carry(Form& form, int part) {
  if (part > 1) form.unknown();
  decode(form, part == 0 ? Operation::kMadLow : Operation::kMadHigh, 2);
}

void add_carry_forms(Families& families) {
  for (std::string_view name : {"addc", "subc", "madc"}) families[name] = with_flag;
}

}  // namespace mirilla::ptx
