#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# check_tree.sh ROOT: checks the tree against its rules and prints each violation on one line. Exits 1 if there are any.
#
#   arrows     apps -> nn, data, weights -> engine -> kernels, and within a top-level folder as folders_below says; a device's kernels do
#              not include another device's, and only kernels/devices.cpp includes all of them
#   folders    are known here: first give a new one its place in the order
#   includes   are written from the tree's root and exist
#   vendors    oneDNN only below kernels/cpu/onednn (and bench/onednn), CUDA only below kernels/cuda, cuDNN and cuBLAS only in its vendor/ (and
#              their tests), LibTorch only in bench
#   switches   no #if on CUDA, oneDNN, MPI or LibTorch outside those folders: an absent part is a stub file that CMake selects
#   flags      of a command line stand in no text of the library: apps/flags.h adds them
#   files      begin with the licence, headers have #pragma once, none is longer than 500 lines
set -uo pipefail
cd "$1" || exit 2

readonly max_lines=500
violations=0
violation() { printf '%s\n' "$*"; violations=$((violations + 1)); }

sources() { find "$@" -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null | sort; }

rooms_below() {  # ROOM: the top-level folders that a top-level folder's files may include
  case $1 in
    kernels) echo kernels ;;
    engine) echo engine kernels ;;
    data) echo data engine kernels ;;
    weights) echo weights engine kernels ;;
    nn) echo nn data weights engine kernels ;;
    apps) echo apps nn data weights engine kernels ;;
    bench) echo bench nn data weights engine kernels ;;
    tests) echo tests apps nn data weights engine kernels ;;
  esac
}

folders_below() {  # FOLDER: those of its room that its files may include; "-" is a folder that does not exist
  case $1 in
    nn/modules) echo nn/modules ;;
    nn/files) echo nn/files nn/modules ;;
    nn/run) echo nn/run nn/files nn/modules ;;
    nn/train) echo nn/train nn/run nn/files nn/modules ;;
    nn/explain) echo nn/explain nn/run nn/files nn/modules ;;
    nn/measure) echo nn/measure nn/explain nn/train nn/run nn/files nn/modules ;;
    nn/inspect) echo nn/inspect nn/explain nn/train nn/run nn/files nn/modules ;;
    data/archive) echo data/archive ;;
    data/pictures) echo data/pictures data/archive ;;
    data) echo data data/pictures data/archive ;;
    data/write) echo data/write data data/pictures data/archive ;;
    data/draw) echo data/draw data/write data data/pictures data/archive ;;
    data/scenes) echo data/scenes data/draw data/write data data/pictures data/archive ;;
    weights) echo weights ;;
    engine) echo engine ;;
    engine/ops | engine/amp) echo engine engine/amp engine/ops ;;
    apps) echo apps apps/pages ;;
    apps/pages) echo apps/pages ;;
    kernels/core) echo kernels/core ;;
    kernels/ptx) echo kernels/ptx kernels/core ;;
    kernels/host | kernels/plans) echo "$1" kernels/core ;;
    kernels | kernels/widening | kernels/reference | kernels/cpu | kernels/cuda | kernels/simt) echo any ;;  # check_arrow has their rules
    *) echo - ;;
  esac
}

folder_of() {  # FILE: its folder as folders_below names it, which for a device is the whole device
  local folder=${1%/*}
  [[ $folder =~ ^kernels/(cpu|cuda|simt|ptx|reference)/ ]] && folder=kernels/${BASH_REMATCH[1]}
  echo "$folder"
}

device_of() {  # kernels/cpu/onednn/state.h -> cpu; nothing for files in kernels itself
  [[ $1 =~ ^kernels/(reference|cpu|cuda|simt|ptx)/ ]] && echo "${BASH_REMATCH[1]}"
}

check_arrow() {  # FILE INCLUDED
  local room=${1%%/*} target=${2%%/*} device other below
  [ -f "$2" ] || { violation "$1: includes \"$2\", which is not a path from the tree's root"; return; }
  [[ " $(rooms_below "$room") " == *" $target "* ]] || violation "$1: $room may not include $target (\"$2\")"
  below=$(folders_below "$(folder_of "$1")")
  if [ "$room" = "$target" ] && [[ "$below" != - && "$below" != any && " $below " != *" $(folder_of "$2") "* ]]; then
    violation "$1: $(folder_of "$1") may not include $(folder_of "$2") (\"$2\")"
    return
  fi
  case $1 in
    kernels/*) device=$(device_of "$1") other=$(device_of "$2") ;;
    engine/*) device=engine other=$(device_of "$2") ;;
    *) return ;;
  esac
  [ -z "$other" ] && return
  case $device in
    "$other") ;;
    cuda) [ "$other" = simt ] || violation "$1: kernels/cuda may not include kernels/$other (\"$2\")" ;;
    simt) violation "$1: kernels/simt may not include kernels/$other (\"$2\")" ;;
    "") [ "$1" = kernels/devices.cpp ] || violation "$1: only kernels/devices.cpp may include a device's header (\"$2\")" ;;
    *) violation "$1: $device may not include kernels/$other (\"$2\")" ;;
  esac
}

check_vendor() {  # FILE INCLUDED
  case $2 in
    dnnl* | oneapi/dnnl/*) [[ $1 == kernels/cpu/onednn/* || $1 == bench/onednn/* ]] || violation "$1: <$2> belongs below kernels/cpu/onednn" ;;
    cudnn*.h | cublas*.h)
      [[ $1 == kernels/cuda/vendor/* || $1 == tests/kernels/vendor/* ]] || violation "$1: <$2> belongs below kernels/cuda/vendor" ;;
    cuda* | nccl* | cooperative_groups*) [[ $1 == kernels/cuda/* ]] || violation "$1: <$2> belongs below kernels/cuda" ;;
    torch/* | ATen/* | c10/*) [[ $1 == bench/* ]] || violation "$1: <$2> belongs into bench" ;;
  esac
}

check_folders() {
  local folder
  while read -r folder; do
    [ "$(folders_below "$folder")" != - ] || violation "$folder: check_tree.sh does not know this folder: give it a place in folders_below"
  done < <(sources apps nn data weights engine kernels | while read -r file; do folder_of "$file"; done | sort -u)
}

check_includes() {
  local file kind name
  while IFS=$'\t' read -r file kind name; do
    [ "$kind" = '"' ] && check_arrow "$file" "$name"
    check_vendor "$file" "$name"
  done < <(sources apps nn data weights engine kernels bench tests |
    xargs -r grep -HoE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]+' /dev/null |
    sed -E 's/^([^:]+):[[:space:]]*#[[:space:]]*include[[:space:]]*(["<])(.*)$/\1\t\2\t\3/')
}

check_switches() {
  local file line
  while IFS=: read -r file line; do
    [[ $file == kernels/cpu/onednn/* || $file == kernels/cuda/* || $file == kernels/simt/* ]] && continue
    violation "$file: a switch on a part of the build: $line"
  done < <(sources apps nn data weights engine kernels bench tests |
    xargs -r grep -HE '^[[:space:]]*#[[:space:]]*(el)?if(n?def)?[[:space:](].*(CUDA|CUDNN|CUBLAS|DNNL|ONEDNN|_MPI|NCCL|TORCH|has_include)' /dev/null |
    tr -s ' ')
}

check_flags() {  # those of zip, which a hint may tell somebody to call, are not ours
  local file text
  while IFS=: read -r file text; do
    violation "$file: a text of the library names a command-line flag: $text"
  done < <(sources nn data weights engine kernels | xargs -r grep -HoE '"([^"\\]|\\.)*"' /dev/null |
    grep -E ':"(.*[^[:alnum:]-])?--[a-z]' | grep -v '`zip ')
}

check_file() {
  local file=$1 length licence='^(//|#) SPDX-License-Identifier: MIT$'
  length=$(wc -l <"$file")
  [ "$length" -le "$max_lines" ] || violation "$file: has $length lines, more than $max_lines"
  if [[ $(head -c 2 "$file") == '#!' ]]; then
    [[ $(sed -n 2p "$file") =~ $licence ]] || violation "$file: its second line should be '# SPDX-License-Identifier: MIT'"
  else
    [[ $(head -n 1 "$file") =~ $licence ]] || violation "$file: its first line should be 'SPDX-License-Identifier: MIT' in a comment"
  fi
  if [[ $file == *.h || $file == *.cuh ]]; then
    grep -q '^#pragma once$' "$file" || violation "$file: has no #pragma once"
  fi
}

check_files() {
  local file
  while read -r file; do check_file "$file"; done < <(
    sources apps nn data weights engine kernels bench tests
    find tools .ci -type f ! -name '*.pyc' 2>/dev/null
    find tests bench -type f \( -name '*.py' -o -name '*.sh' \) 2>/dev/null)
}

check_folders
check_includes
check_switches
check_flags
check_files
[ "$violations" = 0 ] || { echo "$violations violations"; exit 1; }
