#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Plants one violation after another into a small clean tree and expects check_tree.sh to name each of them, and nothing in the clean tree.
set -uo pipefail
checker=$(cd "$(dirname "$0")" && pwd)/check_tree.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failures=0

write() {  # FILE LINE...: a file that obeys the rules
  mkdir -p "$tree/$(dirname "$1")"
  { echo '// SPDX-License-Identifier: MIT'; [[ $1 == *.h ]] && echo '#pragma once'; printf '%s\n' "${@:2}"; } >"$tree/$1"
}

clean_tree() {
  rm -rf "${tree:?}"/*
  write kernels/core/view.h
  write kernels/devices.cpp '#include "kernels/cpu/backend.h"'
  write kernels/cpu/backend.h '#include "kernels/core/view.h"'
  write kernels/cpu/onednn/conv2d.cpp '#include <oneapi/dnnl/dnnl.hpp>' '#include "kernels/cpu/backend.h"'
  write kernels/ptx/machine.h '#include "kernels/core/view.h"'
  write kernels/reference/backend.h '#include "kernels/core/view.h"'
  write kernels/cuda/backend.cpp '#ifdef __CUDACC__' '#include <cuda_runtime.h>' '#endif'
  write kernels/cuda/vendor/conv.cpp '#include <cudnn.h>'
  write tests/kernels/vendor/conv_test.cpp '#include <cudnn_frontend.h>' '#include <cublasLt.h>'
  write engine/tensor.h '#include "kernels/core/view.h"'
  write data/loader.h '#include "engine/tensor.h"' 'for (const char* hint = "join: `zip -s 0 --out whole.zip`"; *hint == "}"[0]; --hint) {}'
  write weights/read.h '#include "engine/tensor.h"'
  write nn/modules/module.h '#include "data/loader.h"' '#include "weights/read.h"'
  write nn/run/inference.h '#include "nn/modules/module.h"'
  write nn/train/learner.h '#include "nn/run/inference.h"' '#include "nn/modules/module.h"'
  write nn/explain/cam.h '#include "nn/run/inference.h"'
  write nn/inspect/diff.h '#include "nn/explain/cam.h"' '#include "nn/train/learner.h"'
  write data/draw/plot.h '#include "data/loader.h"'
  write apps/main.cpp '#include "nn/modules/module.h"' '#include <vector>'
}

expect_violation() {  # TEXT FILE LINE...
  local text=$1 output
  shift
  clean_tree
  write "$@"
  output=$("$checker" "$tree") && { echo "not noticed: $1: ${*:2}"; failures=$((failures + 1)); return; }
  [[ $output == *"$1: "*"$text"* && $output == *"1 violations"* ]] ||
    { echo "wanted '$1: ...$text' alone and got:"; echo "$output"; failures=$((failures + 1)); }
}

expect_raw_violation() {  # TEXT FILE: of a file already planted
  local output
  output=$("$checker" "$tree") && { echo "not noticed: $2"; failures=$((failures + 1)); return; }
  [[ $output == *"$2: "*"$1"* ]] || { echo "wanted '$2: ...$1' and got:"; echo "$output"; failures=$((failures + 1)); }
}

clean_tree
"$checker" "$tree" || { echo "the clean tree should pass"; failures=$((failures + 1)); }

expect_violation 'kernels may not include engine' kernels/core/bad.h '#include "engine/tensor.h"'
expect_violation 'engine may not include nn' engine/bad.cpp '#include "nn/modules/module.h"'
expect_violation 'engine may not include data' engine/bad.cpp '  #  include "data/loader.h"'
expect_violation 'data may not include nn' data/bad.cpp '#include "nn/modules/module.h"'
expect_violation 'data may not include weights' data/bad.cpp '#include "weights/read.h"'
expect_violation 'weights may not include nn' weights/bad.cpp '#include "nn/modules/module.h"'
expect_violation 'nn may not include apps' nn/modules/bad.cpp '#include "apps/main.cpp"'
expect_violation "not a path from the tree's root" engine/bad.cpp '#include "tensor.h"'
expect_violation 'cpu may not include kernels/reference' kernels/cpu/bad.cpp '#include "kernels/reference/backend.h"'
expect_violation 'reference may not include kernels/cpu' kernels/reference/bad.cpp '#include "kernels/cpu/backend.h"'
expect_violation 'kernels/ptx may not include kernels/cpu' kernels/ptx/bad.cpp '#include "kernels/cpu/backend.h"'
expect_violation 'reference may not include kernels/ptx' kernels/reference/bad.cpp '#include "kernels/ptx/machine.h"'
expect_violation "only kernels/devices.cpp may include" kernels/bad.h '#include "kernels/cpu/backend.h"'
expect_violation "only kernels/devices.cpp may include" kernels/bad.cpp '#include "kernels/cpu/backend.h"'
expect_violation 'kernels/core may not include kernels/cpu' kernels/core/bad.cpp '#include "kernels/cpu/backend.h"'
expect_violation 'nn/modules may not include nn/run' nn/modules/bad.cpp '#include "nn/run/inference.h"'
expect_violation 'nn/files may not include nn/run' nn/files/bad.cpp '#include "nn/run/inference.h"'
expect_violation 'nn/explain may not include nn/train' nn/explain/bad.cpp '#include "nn/train/learner.h"'
expect_violation 'nn/train may not include nn/explain' nn/train/bad.cpp '#include "nn/explain/cam.h"'
expect_violation 'nn/measure may not include nn/inspect' nn/measure/bad.cpp '#include "nn/inspect/diff.h"'
expect_violation 'data/write may not include data/draw' data/write/bad.cpp '#include "data/draw/plot.h"'
expect_violation 'apps/pages may not include apps' apps/pages/bad.cpp '#include "apps/main.cpp"'
expect_violation 'engine may not include kernels/cpu' engine/bad.cpp '#include "kernels/cpu/backend.h"'
expect_violation 'belongs below kernels/cpu/onednn' kernels/cpu/bad.cpp '#include <oneapi/dnnl/dnnl.hpp>'
expect_violation 'belongs below kernels/cpu/onednn' engine/bad.cpp '#include <dnnl.hpp>'
expect_violation 'belongs below kernels/cuda' engine/bad.cpp '#include <cuda_runtime.h>'
expect_violation 'belongs below kernels/cuda/vendor' engine/bad.cpp '#include <cudnn.h>'
expect_violation 'belongs below kernels/cuda/vendor' kernels/cuda/bad.cpp '#include <cudnn_frontend.h>'
expect_violation 'belongs below kernels/cuda/vendor' kernels/cuda/bad.cu '#include <cublasLt.h>'
expect_violation 'belongs below kernels/cuda/vendor' tests/kernels/cuda/bad.cpp '#include <cublas_v2.h>'
expect_violation 'belongs into bench' engine/bad.cpp '#include <torch/torch.h>'
expect_violation 'a switch on a part of the build' nn/modules/bad.cpp '#ifdef MIRILLA_CUDA' '#endif'
expect_violation 'a switch on a part of the build' kernels/core/bad.cpp '  # if defined(MIRILLA_ONEDNN)' '#endif'
expect_violation 'names a command-line flag' nn/train/bad.cpp 'throw Error("too few", "a smaller --batch-size");'
expect_violation 'names a command-line flag' data/bad.cpp 'const char* hint = "there are more: 5 (--limit takes fewer)";'
expect_violation 'more than 500' nn/modules/bad.cpp "$(yes '//' | head -n 500)"

clean_tree
printf 'int x;\n' >"$tree/nn/modules/bad.cpp"
expect_raw_violation 'SPDX-License-Identifier' nn/modules/bad.cpp
clean_tree
printf '// SPDX-License-Identifier: MIT\nint x;\n' >"$tree/nn/modules/bad.h"
expect_raw_violation 'no #pragma once' nn/modules/bad.h
clean_tree
write nn/unknown/file.cpp
expect_raw_violation 'does not know this folder' nn/unknown
clean_tree
mkdir -p "$tree/tools" && printf '#!/bin/sh\necho\n' >"$tree/tools/bad"
expect_raw_violation 'second line' tools/bad

[ "$failures" = 0 ] || { echo "$failures of the planted violations went wrong"; exit 1; }
