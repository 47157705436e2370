// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/runtime.h"

#include <optional>
#include <string>
#include <string_view>

// What the stand-ins for NVIDIA's libraries have in common.
namespace mirilla::emulate {

/// Thrown by a stand-in in place of success. The sentence of a misuse is printed, since the library itself may only crash or compute
/// something else; what is merely not supported is an answer like any other.
template <class Status>
struct Refused {
  Status status;
  std::string sentence;
  bool misuse = true;
};

/// How a library names its answers.
template <class Status>
struct Answers {
  Status success, no_memory;
  std::optional<Status> (*find)(std::string_view name);
};

/// The frame of a library's function: lock, faults and mistakes on request, the sentence of what was refused. `last` is the thread's last
/// sentence.
template <class Status, class F>
Status library_call(const Answers<Status>& answers, std::string& last, const char* name, F f) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.mutex);
  try {
    if (const Failure* const failure = r.asked_to_fail(name)) {
      const std::optional<Status> status = answers.find(failure->status);
      if (!status)
        throw UsageError(fmt::format("MIRILLA_EMULATE_FAIL asks for {} of {}, which is none of its errors", failure->status, name));
      last = "asked for by MIRILLA_EMULATE_FAIL";
      return *status;
    }
    if (r.mistake != Mistake::Kind::kDrop) f(r);
    return answers.success;
  } catch (const Refused<Status>& refused) {
    last = refused.sentence;
    if (refused.misuse) print_line(fmt::format("{}: {}", name, refused.sentence));
    return refused.status;
  } catch (const std::bad_alloc&) {
    return answers.no_memory;
  } catch (const Error& error) {
    end_program(error);
  }
}

}  // namespace mirilla::emulate
