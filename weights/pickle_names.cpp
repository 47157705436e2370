// SPDX-License-Identifier: MIT
#include "weights/pickle_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace mirilla::weights::pickle {
namespace {

bool is_one_of(std::string_view text, std::span<const std::string_view> all) {
  return std::find(all.begin(), all.end(), text) != all.end();
}

}  // namespace

bool is_tensor_builder(std::string_view global) {
  constexpr std::string_view kBuilders[] = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
                                            "torch._utils._rebuild_tensor_v3"};
  return is_one_of(global, kBuilders);
}

bool is_parameter_builder(std::string_view global) {
  return global == "torch._utils._rebuild_parameter" || global == "torch._utils._rebuild_parameter_with_state";
}

bool is_storage_type(std::string_view global) {
  return (global.starts_with("torch.") && global.ends_with("Storage") && global.find('.', 6) == global.npos) ||
         global == "torch.storage.UntypedStorage";
}

bool is_set_type(std::string_view global) {
  return global == "builtins.set" || global == "__builtin__.set" || global == "builtins.frozenset" || global == "__builtin__.frozenset";
}

bool is_called_here(std::string_view global) {
  return global == kOrderedDict || global == kSize || global == kRebuildFromType || is_tensor_builder(global) ||
         is_parameter_builder(global) || is_set_type(global);
}

bool runs_code(std::string_view module, std::string_view name) {
  // clang-format off
  constexpr std::string_view kModules[] = {
      "os", "posix", "nt", "subprocess", "sys", "shutil", "runpy", "pty", "socket", "importlib", "pickle", "_pickle", "cPickle", "dill",
      "marshal", "code", "codeop", "ctypes", "_ctypes", "operator", "_operator", "multiprocessing", "threading", "_thread", "webbrowser",
      "platform", "commands", "timeit", "cProfile", "profile", "pdb", "bdb", "trace", "ensurepip", "pip", "urllib", "requests", "http",
      "ftplib", "smtplib", "asyncio", "concurrent", "inspect", "imp", "zipimport", "distutils", "setuptools", "pydoc", "doctest",
      "unittest", "idlelib", "cloudpickle", "joblib", "tempfile", "signal", "atexit", "gc", "builtins", "__builtin__"};
  // clang-format on
  constexpr std::string_view kHarmless[] = {"object", "int",   "float", "complex", "bool", "str",       "bytes",    "bytearray",     "list",
                                            "dict",   "tuple", "range", "slice",   "set",  "frozenset", "Ellipsis", "NotImplemented"};
  constexpr std::string_view kNames[] = {"torch.load",         "torch.serialization.load",
                                         "torch.hub.load",     "torch.jit.load",
                                         "numpy.load",         "numpy.lib.npyio.load",
                                         "pandas.read_pickle", "types.FunctionType",
                                         "types.CodeType",     "torch.jit.unsupported_tensor_ops.execWrapper",
                                         "functools.reduce"};
  const std::string_view top = module.substr(0, module.find('.'));
  const bool builtin = top == "builtins" || top == "__builtin__";
  if (builtin && is_one_of(name, kHarmless)) return false;
  return is_one_of(top, kModules) || is_one_of(fmt::format("{}.{}", module, name), kNames);
}

}  // namespace mirilla::weights::pickle
