#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cuda_build_test.sh PROGRAM: checks what a build with CUDA reports about itself, with a GPU and without. PROGRAM is its mirilla.
set -uo pipefail
program=$1
failures=0
fail() { printf '%s\n' "$*"; failures=$((failures + 1)); }

text=$("$program" --version) || fail "--version ended with $?"
line=$(grep '^  cuda: ' <<<"$text")
[ "$(grep -c '^  cuda: ' <<<"$text")" = 1 ] || fail "--version should have one line about cuda and says:" "$text"
[[ $line == *"not built"* ]] && fail "this build has no CUDA: $line"
if [[ $line != *"no device"* ]]; then
  [[ $line =~ sm_[0-9]+ ]] || fail "a GPU without an architecture: $line"
else
  [[ $line =~ "cuda: built for sm_"[0-9]+.*", no device: ".+ ]] || fail "no reason why there is no device: $line"
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
  error=$("$program" train --device cuda --out "$out/model" 2>&1 >/dev/null)
  code=$?
  [ "$code" = 1 ] || fail "--device cuda without a GPU should end with 1 and ended with $code"
  [ "$(grep -c "the device 'cuda' was asked for and ${line##*no device: }" <<<"$error")" = 1 ] || fail "not the one sentence:" "$error"
  [ ! -e "$out/model" ] || fail "something was written all the same"
fi
ldd "$program" | grep -qE "libcu(da|dnn|blas)|libnvrtc" && fail "the program wants CUDA's libraries, which most machines lack"
[ "$failures" = 0 ]
