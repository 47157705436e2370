// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/print.h"

#include "kernels/ptx/forms/memory.h"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace mirilla::ptx {

namespace {

constexpr size_t kLongestText = 1 << 16;

const u8* byte_at(const Instruction& i, const Warp& warp, u32 lane, u64 address) {
  const Block& block = *warp.block;
  u64 inside = address;
  const Space space = space_of(&inside);
  if (space == Space::kShared && inside < block.shared_bytes) return block.shared + inside;
  if (space == Space::kLocal && inside < block.local_bytes) return block.local_of(warp, lane) + inside;
  if (space == Space::kParam && inside < block.parameter_bytes) return block.parameters + inside;
  const Allocation* there = space == Space::kGlobal ? block.memory->find(address) : nullptr;
  if (!there || there->freed) fail(warp, i, lane, Fault::Kind::kOutside, fmt::format("printf reads at {:#x}, where no memory is", address));
  return reinterpret_cast<const u8*>(address);
}

class Arguments {
 public:
  Arguments(const Instruction& i, const Warp& warp, u32 lane, u64 address)
      : i_(i), warp_(warp), lane_(lane), begin_(address), at_(address) {}

  template <class T>
  T next() {
    at_ += (sizeof(T) - (at_ - begin_) % sizeof(T)) % sizeof(T);
    T value;
    for (size_t k = 0; k < sizeof(T); ++k) reinterpret_cast<u8*>(&value)[k] = *byte_at(i_, warp_, lane_, at_ + k);
    at_ += sizeof(T);
    return value;
  }

 private:
  const Instruction& i_;
  const Warp& warp_;
  u32 lane_;
  u64 begin_, at_;
};

template <class T>
std::string printed(const std::string& spec, T value) {
  const int size = std::snprintf(nullptr, 0, spec.c_str(), value);
  std::string text(static_cast<size_t>(std::max(size, 0)) + 1, '\0');
  std::snprintf(text.data(), text.size(), spec.c_str(), value);
  text.pop_back();
  return text;
}

}  // namespace

std::string text_at(const Instruction& i, const Warp& warp, u32 lane, u64 address) {
  std::string text;
  while (text.size() < kLongestText) {
    const char c = static_cast<char>(*byte_at(i, warp, lane, address + text.size()));
    if (c == '\0') break;
    text += c;
  }
  return text;
}

std::string formatted(const Instruction& i, const Warp& warp, u32 lane, u64 format, u64 arguments) {
  const std::string pattern = text_at(i, warp, lane, format);
  Arguments values(i, warp, lane, arguments);
  std::string text;
  for (size_t k = 0; k < pattern.size(); ++k) {
    if (pattern[k] != '%') {
      text += pattern[k];
      continue;
    }
    const size_t begin = k++;
    std::string spec = "%";
    const auto number = [&] {  // digits, or a * that takes an argument
      if (k < pattern.size() && pattern[k] == '*') spec += std::to_string(values.next<s32>()), ++k;
      while (k < pattern.size() && std::isdigit(static_cast<unsigned char>(pattern[k]))) spec += pattern[k++];
    };
    while (k < pattern.size() && std::string_view("-+ #0").find(pattern[k]) != std::string_view::npos) spec += pattern[k++];
    number();
    if (k < pattern.size() && pattern[k] == '.') {
      spec += pattern[k++];
      number();
    }
    int longs = 0;
    for (; k < pattern.size() && std::string_view("lhzjt").find(pattern[k]) != std::string_view::npos; ++k)
      longs += pattern[k] == 'h' ? 0 : 1;
    const char kind = k < pattern.size() ? pattern[k] : '\0';
    if (kind == '%')
      text += '%';
    else if (kind == 's')
      text += printed(spec + "s", text_at(i, warp, lane, values.next<u64>()).c_str());
    else if (kind == 'p')
      text += printed(spec + "p", reinterpret_cast<void*>(values.next<u64>()));
    else if (kind == 'c')
      text += printed(spec + "c", values.next<s32>());
    else if (kind == 'd' || kind == 'i')
      text += printed(spec + "lld", longs ? values.next<s64>() : s64{values.next<s32>()});
    else if (kind == 'u' || kind == 'x' || kind == 'X' || kind == 'o')
      text += printed(spec + "ll" + kind, longs ? values.next<u64>() : u64{values.next<u32>()});
    else if (kind != '\0' && std::string_view("fFeEgGaA").find(kind) != std::string_view::npos)
      text += printed(spec + kind, values.next<f64>());
    else
      text += pattern.substr(begin, k - begin + 1);  // unknown to printf too
  }
  return text;
}

}  // namespace mirilla::ptx
