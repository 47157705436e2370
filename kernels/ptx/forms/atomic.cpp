// SPDX-License-Identifier: MIT
#include "kernels/ptx/count.h"
#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/memory.h"
#include "kernels/ptx/forms/numbers.h"

#include <algorithm>

// PTX ISA 9.7.13, atom and red. Lanes run one after another; between blocks on different host threads the processor's atomics are used.

namespace mirilla::ptx {

namespace {

struct And {
  template <class T>
  static T of(T old, T b) {
    return old & b;
  }
};
struct Or {
  template <class T>
  static T of(T old, T b) {
    return old | b;
  }
};
struct Xor {
  template <class T>
  static T of(T old, T b) {
    return old ^ b;
  }
};
struct Exch {
  template <class T>
  static T of(T, T b) {
    return b;
  }
};
struct Add {
  template <class T>
  static T of(T old, T b) {
    return static_cast<T>(old + b);
  }
};
struct Inc {  // ((old >= b) ? 0 : old + 1)
  static u32 of(u32 old, u32 b) { return old >= b ? 0 : old + 1; }
};
struct Dec {  // ((old == 0) || (old > b)) ? b : old - 1
  static u32 of(u32 old, u32 b) { return old == 0 || old > b ? b : old - 1; }
};
template <class S>
struct Min {
  template <class T>
  static T of(T old, T b) {
    return static_cast<T>(std::min(static_cast<S>(old), static_cast<S>(b)));
  }
};
template <class S>
struct Max {
  template <class T>
  static T of(T old, T b) {
    return static_cast<T>(std::max(static_cast<S>(old), static_cast<S>(b)));
  }
};
struct AddF32 {
  static u32 of(u32 old, u32 b) { return std::bit_cast<u32>(canonical(std::bit_cast<f32>(old) + std::bit_cast<f32>(b))); }
};
struct AddF64 {
  static u64 of(u64 old, u64 b) { return std::bit_cast<u64>(std::bit_cast<f64>(old) + std::bit_cast<f64>(b)); }
};
template <class Format16>
struct AddHalf {
  static u16 of(u16 old, u16 b) { return Format16::narrow(Format16::wide(old) + Format16::wide(b)); }
};
template <class Format16>
struct AddPair {
  static u32 of(u32 old, u32 b) {
    return AddHalf<Format16>::of(static_cast<u16>(old), static_cast<u16>(b)) |
           static_cast<u32>(AddHalf<Format16>::of(static_cast<u16>(old >> 16), static_cast<u16>(b >> 16))) << 16;
  }
};

Pointers reach_atomic(const Instruction& i, Warp& warp, Space space, const Addresses& addresses, u32 mask, u32 bytes) {
  AccessKind kind;
  kind.bytes = bytes;
  kind.store = true;
  kind.strong = true;
  const Pointers to = reach(i, warp, space, addresses, mask, kind);
  if (warp.block->options->counts) count_atomics(*warp.block, i, mask);
  if (warp.block->races) {
    if (i.release) warp.block->races->fence();
    each_lane(mask, [&](u32 l) { warp.block->races->synchronise(warp, i, addresses[l], true); });
  }
  return to;
}

template <class T>
T exchange(u8* at, T (*update)(T, T), T operand) {
  T* p = reinterpret_cast<T*>(at);
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(p, &old, update(old, operand), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {}
  return old;
}

// Places: d, address, b. Vectors: d..., address, b...
template <class T, class Operation>
void update(const Instruction& i, Warp& warp) {
  const u32 n = i.count;
  const Addresses all = addresses_of(i, warp, static_cast<int>(n));
  by_space(i, all, warp.mask, [&](Space space, const Addresses& addresses, u32 mask) {
    const Pointers at = reach_atomic(i, warp, space, addresses, mask, u32{i.bytes} * n);
    for (u32 k = 0; k < n; ++k) {
      T* d = warp.at<T>(i.place[k]);
      const T* b = warp.in<T>(i, static_cast<int>(n + 1 + k));
      each_lane(mask, [&](u32 l) { d[l] = exchange<T>(at[l] + k * sizeof(T), Operation::of, b[l]); });
    }
  });
}

template <class T>
void compare_and_swap(const Instruction& i, Warp& warp) {
  const Addresses all = addresses_of(i, warp, 1);
  by_space(i, all, warp.mask, [&](Space space, const Addresses& addresses, u32 mask) {
    const Pointers at = reach_atomic(i, warp, space, addresses, mask, sizeof(T));
    T* d = warp.at<T>(i.place[0]);
    const T *b = warp.in<T>(i, 2), *c = warp.in<T>(i, 3);
    each_lane(mask, [&](u32 l) {
      T old = b[l];
      __atomic_compare_exchange_n(reinterpret_cast<T*>(at[l]), &old, c[l], false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
      d[l] = old;
    });
  });
}

template <class Operation>
Handler bits(Type type) {
  if (type == Type::kB32) return update<u32, Operation>;
  return type == Type::kB64 ? update<u64, Operation> : nullptr;
}
template <template <class> class Operation>
Handler order(Type type) {
  switch (type) {
    case Type::kU32: return update<u32, Operation<u32>>;
    case Type::kS32: return update<u32, Operation<s32>>;
    case Type::kU64: return update<u64, Operation<u64>>;
    case Type::kS64: return update<u64, Operation<s64>>;
    default: return nullptr;
  }
}
Handler add(Type type) {
  switch (type) {
    case Type::kU32:
    case Type::kS32: return update<u32, Add>;
    case Type::kU64:
    case Type::kS64: return update<u64, Add>;
    case Type::kF32: return update<u32, AddF32>;
    case Type::kF64: return update<u64, AddF64>;
    case Type::kF16: return update<u16, AddHalf<Half16>>;
    case Type::kBf16: return update<u16, AddHalf<Brain16>>;
    case Type::kF16x2: return update<u32, AddPair<Half16>>;
    case Type::kBf16x2: return update<u32, AddPair<Brain16>>;
    default: return nullptr;
  }
}

enum Operation : int { kAnd, kOr, kXor, kCas, kExch, kAdd, kInc, kDec, kMin, kMax };

Handler handler_of(int operation, Type type) {
  switch (operation) {
    case kAnd: return bits<And>(type);
    case kOr: return bits<Or>(type);
    case kXor: return bits<Xor>(type);
    case kExch: return bits<Exch>(type);
    case kCas:
      return type == Type::kB16   ? compare_and_swap<u16>
             : type == Type::kB32 ? compare_and_swap<u32>
             : type == Type::kB64 ? compare_and_swap<u64>
                                  : nullptr;
    case kAdd: return add(type);
    case kInc: return type == Type::kU32 ? update<u32, Inc> : nullptr;
    case kDec: return type == Type::kU32 ? update<u32, Dec> : nullptr;
    case kMin: return order<Min>(type);
    case kMax: return order<Max>(type);
    default: return nullptr;
  }
}

void atomic(Form& form) {
  const bool reduces = form.base() == "red";
  Instruction& out = form.out;
  form.take_memory_order();
  out.strong = true;
  const int space = form.take_one({"global", "shared", "shared::cta"});
  out.space = form.space = space < 0 ? Space::kGeneric : space == 0 ? Space::kGlobal : Space::kShared;
  form.take("L2::cache_hint");
  const bool noftz = form.take("noftz");
  const int operation = form.take_one({"and", "or", "xor", "cas", "exch", "add", "inc", "dec", "min", "max"});
  const int vector = form.take_one({"v2", "v4", "v8"});
  const Type type = form.take_type();
  const bool half = type == Type::kF16 || type == Type::kBf16 || type == Type::kF16x2 || type == Type::kBf16x2;
  if ((noftz && !half) || (reduces && (operation == kCas || operation == kExch))) form.unknown();
  out.count = vector < 0 ? 1 : static_cast<u8>(2 << vector);
  out.bytes = static_cast<u8>(bytes_of(type));
  if (u32{out.bytes} * out.count > 16) form.unknown();
  const size_t first = reduces ? 0 : 1;
  form.wants_operands(first + (operation == kCas ? 3 : 2), first + 3);
  const auto each = [&](const Operand& operand, auto f) {
    if (out.count == 1) return f(operand);
    if (operand.parts.size() != out.count) form.wrong("the vector does not fit its size");
    for (const Operand& part : operand.parts) f(part);
  };
  if (reduces)
    for (u32 k = 0; k < out.count; ++k) form.to_nowhere(type);
  else
    each(form.operand(0), [&](const Operand& d) { form.to(d, type); });
  form.address(first);
  each(form.operand(first + 1), [&](const Operand& b) { form.from(b, type); });
  if (operation == kCas) form.from(first + 2, type);
  form.sets(handler_of(operation, type));
}

}  // namespace

void add_atomic_forms(Families& families) {
  for (std::string_view name : {"atom", "red"}) families[name] = atomic;
}

}  // namespace mirilla::ptx
