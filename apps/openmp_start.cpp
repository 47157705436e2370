// SPDX-License-Identifier: MIT
#include "apps/openmp_start.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <ctime>

// The code below runs before anything that the linker or a library does at the start, so it calls only the system and uses plain arrays.
// The build compiles this file without sanitizers: they start later.
namespace mirilla::apps {

namespace {

constexpr size_t kMostUnfollowed = 16;
const char* unfollowed[kMostUnfollowed];  // "NAME=value"
size_t unfollowed_count = 0;

constexpr bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

const char* after_blanks(const char* text) {
  while (is_blank(*text)) ++text;
  return text;
}

// The text after `word` and blanks, ignoring case; null if the text begins otherwise.
const char* after_word(const char* text, const char* word) {
  text = after_blanks(text);
  for (; *word != '\0'; ++word, ++text)
    if (lower(*text) != *word) return nullptr;
  return after_blanks(text);
}

// The text after a whole number and blanks. It has at most nine digits: no sensible value has more.
const char* after_number(const char* text, bool zero_allowed) {
  text = after_blanks(text);
  int digits = 0;
  bool positive = zero_allowed;
  for (; *text >= '0' && *text <= '9'; ++text) {
    positive = positive || *text != '0';
    ++digits;
  }
  return digits > 0 && digits < 10 && positive ? after_blanks(text) : nullptr;
}

bool is_end(const char* text) { return text != nullptr && *text == '\0'; }

bool is_count(const char* text) { return is_end(after_number(text, false)); }
bool is_level(const char* text) { return is_end(after_number(text, true)); }
bool is_list(const char* text) {
  const char* rest = after_number(text, false);
  while (rest != nullptr && *rest == ',') rest = after_number(rest + 1, false);
  return is_end(rest);
}
bool is_flag(const char* text) { return is_end(after_word(text, "true")) || is_end(after_word(text, "false")); }
bool is_wait(const char* text) { return is_end(after_word(text, "active")) || is_end(after_word(text, "passive")); }

// The number of bytes, or of other units, in a text like "512k"; -1 if it is not such a text. `plain` is the unit of a bare number.
long long amount_of(const char* text, char plain) {
  const char* const unit = after_number(text, true);
  if (unit == nullptr) return -1;
  long long amount = 0;
  for (text = after_blanks(text); *text >= '0' && *text <= '9'; ++text) amount = 10 * amount + (*text - '0');
  const char letter = *unit == '\0' ? plain : lower(*unit);
  if (*unit != '\0' && !is_end(after_blanks(unit + 1))) return -1;
  constexpr char kUnits[] = {'b', 'k', 'm', 'g', 't'};
  for (const char known : kUnits) {
    if (letter == known) return amount;
    amount *= 1024;
  }
  return -1;
}
bool is_stack(const char* text) {
  constexpr long long kSmallest = 16 << 10;
  return amount_of(text, 'k') >= kSmallest;
}
bool is_spins(const char* text) {
  return is_end(after_word(text, "infinite")) || is_end(after_word(text, "infinity")) || amount_of(text, 'b') >= 0;
}

bool is_binding(const char* text) {
  constexpr const char* kWords[] = {"true", "false", "master", "primary", "close", "spread"};
  for (const char* const word : kWords) {
    const char* const rest = after_word(text, word);
    if (rest != nullptr && *rest == ',') return is_binding(rest + 1);
    if (is_end(rest)) return true;
  }
  return false;
}

// A list of processors: not parsed completely here; a text with anything but numbers, names and signs is not one.
bool is_processors(const char* text) {
  if (is_end(after_blanks(text))) return false;
  for (; *text != '\0'; ++text) {
    bool known = is_blank(*text) || (*text >= '0' && *text <= '9');
    for (const char sign : {'{', '}', '(', ')', ':', ',', '-', '!'}) known = known || *text == sign;
    if (known) continue;
    const char* rest = nullptr;
    for (const char* const name : {"threads", "cores", "sockets", "ll_caches", "numa_domains"})
      if (rest == nullptr) rest = after_word(text, name);
    if (rest == nullptr) return false;
    text = rest - 1;
  }
  return true;
}

struct Variable {
  const char* name;
  bool (*followed)(const char* value);
};
constexpr Variable kVariables[] = {{"OMP_NUM_THREADS", is_list},
                                   {"OMP_THREAD_LIMIT", is_count},
                                   {"OMP_MAX_ACTIVE_LEVELS", is_level},
                                   {"OMP_DYNAMIC", is_flag},
                                   {"OMP_NESTED", is_flag},
                                   {"OMP_CANCELLATION", is_flag},
                                   {"OMP_WAIT_POLICY", is_wait},
                                   {"GOMP_SPINCOUNT", is_spins},
                                   {"OMP_STACKSIZE", is_stack},
                                   {"GOMP_STACKSIZE", is_stack},
                                   {"OMP_PROC_BIND", is_binding},
                                   {"OMP_PLACES", is_processors},
                                   {"GOMP_CPU_AFFINITY", is_processors}};

// The value if the entry has this name, else null.
const char* value_of(const char* entry, const char* name) {
  for (; *name != '\0'; ++name, ++entry)
    if (*entry != *name) return nullptr;
  return *entry == '=' ? entry + 1 : nullptr;
}

bool is_unfollowed(const char* entry) {
  for (const Variable& variable : kVariables)
    if (const char* const value = value_of(entry, variable.name); value != nullptr && !variable.followed(value)) return true;
  return false;
}

// NAME=, as a shell writes an empty variable.
bool is_empty(const char* entry) {
  while (*entry != '\0' && *entry != '=') ++entry;
  return *entry == '=' && *after_blanks(entry + 1) == '\0';
}

// Removes variables that OpenMP would ignore, and keeps them for a note.
void take_out_unfollowed(char** environment) {
  char** kept = environment;
  for (; *environment != nullptr; ++environment) {
    if (!is_unfollowed(*environment)) {
      *kept++ = *environment;
    } else if (unfollowed_count < kMostUnfollowed && !is_empty(*environment)) {
      unfollowed[unfollowed_count++] = *environment;
    }
  }
  *kept = nullptr;
}

bool says_how_to_wait(char** environment) {
  for (; *environment != nullptr; ++environment)
    if ((value_of(*environment, "OMP_WAIT_POLICY") != nullptr || value_of(*environment, "GOMP_SPINCOUNT") != nullptr) &&
        !is_unfollowed(*environment))
      return true;
  return false;
}

// What a waiting thread of libgomp does once per spin.
inline void spin_once() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("" ::: "memory");
#endif
}

long long nanoseconds() {
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// The spins that take kSpinNs on this processor, whose pause takes from 10 to 60 ns.
long long spins_before_sleep() {
  constexpr long long kSpinNs = 20'000, kMeasured = 200;
  long long least = kSpinNs * kMeasured;  // at least one spin, whatever the clock says
  for (int round = 0; round < 3; ++round) {
    const long long begin = nanoseconds();
    for (int i = 0; i < kMeasured; ++i) spin_once();
    const long long taken = nanoseconds() - begin;
    if (taken > 0 && taken < least) least = taken;
  }
  return kSpinNs * kMeasured / least;
}

// Appends the digits and the final zero.
void write_number(char* at, long long number) {
  char digits[24];
  int count = 0;
  for (; number > 0 || count == 0; number /= 10) digits[count++] = static_cast<char>('0' + number % 10);
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
}

// Restarts the same program with two more variables. Returns only if that fails: then the program continues unchanged.
void start_anew(char** arguments, char** environment) {
  constexpr size_t kMostEntries = 4096, kLongestPath = 4096;
  static char path[kLongestPath];
  static char* entries[kMostEntries + 3];
  static char passive[] = "OMP_WAIT_POLICY=passive";
  constexpr char kSpins[] = "GOMP_SPINCOUNT=";
  static char spins[sizeof kSpins + 24];
  for (size_t i = 0; i < sizeof kSpins; ++i) spins[i] = kSpins[i];
  write_number(spins + sizeof kSpins - 1, spins_before_sleep());
  const ssize_t length = readlink("/proc/self/exe", path, kLongestPath - 1);
  if (length <= 0) return;
  size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count == kMostEntries) return;
    entries[count] = environment[count];
  }
  entries[count] = passive;  // other runtimes than libgomp know only this
  entries[count + 1] = spins;
  execve(path, arguments, entries);
}

void start(int, char** arguments, char** environment) {
  if (!says_how_to_wait(environment)) start_anew(arguments, environment);
  take_out_unfollowed(environment);
}

[[gnu::section(".preinit_array"), gnu::used]] void (*const first_of_all)(int, char**, char**) = start;

}  // namespace

std::vector<std::string> unfollowed_variables() { return {unfollowed, unfollowed + unfollowed_count}; }

}  // namespace mirilla::apps
