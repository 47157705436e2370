// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <type_traits>

/// What mutate.py writes into the copies of the kernels: at most one mutant is active in a run.
namespace mirilla::mutation {

inline constexpr int kMost = 4096;

extern const int g_alive;                               // from MIRILLA_MUTANT; 0: none
extern const bool g_tracing;                            // from MIRILLA_MUTANT_TRACE
extern std::array<std::atomic<bool>, kMost> g_reached;  // since the running test began

inline bool alive(int number) {
  if (g_tracing) g_reached[static_cast<size_t>(number)].store(true, std::memory_order_relaxed);
  return number == g_alive;
}

enum class Order { less, less_equal, greater, greater_equal };

template <Order order, class A, class B>
bool holds(const A& a, const B& b) {
  if constexpr (order == Order::less) return a < b;
  if constexpr (order == Order::less_equal) return a <= b;
  if constexpr (order == Order::greater) return a > b;
  if constexpr (order == Order::greater_equal) return a >= b;
}

constexpr Order moved(Order order) {
  switch (order) {
    case Order::less: return Order::less_equal;
    case Order::less_equal: return Order::less;
    case Order::greater: return Order::greater_equal;
    default: return Order::greater;
  }
}

/// `a < Bound<7, Order::less>() > b` is a < b, or a <= b while mutant 7 is alive.
template <int number, Order order>
struct Bound {};
template <class A, int number, Order order>
struct Left {
  const A& a;
};
template <class A, int number, Order order>
Left<A, number, order> operator<(const A& a, Bound<number, order>) {
  return {a};
}
template <class A, int number, Order order, class B>
bool operator>(Left<A, number, order> left, const B& b) {
  if constexpr (std::integral<A> && std::integral<B>)
    if (alive(number)) return holds<moved(order)>(left.a, b);
  return holds<order>(left.a, b);
}

}  // namespace mirilla::mutation
