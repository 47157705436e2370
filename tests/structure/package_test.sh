#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# package_test.sh SOURCE BUILD: the library as others meet it. Installs the build into an empty folder, builds the examples from the copy with
# find_package and runs them on drawn pictures and a model that the installed program trained, compiles a program with pkg-config's flags, and
# has a project configure Mirilla as a part of itself (add_subdirectory) and compile against it.
set -euo pipefail
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { echo "package: $*"; }

cmake --install "$build" --prefix "$work/prefix" >/dev/null
say "$(find "$work/prefix/include" -name '*.h' | wc -l) headers, $(du -sm "$work/prefix" | cut -f1) MiB"
if grep -rn '#include "' "$work/prefix/include"; then say "these includes lead out of the installed headers"; exit 1; fi
prefix=$work/moved  # an installed copy may be moved
mv "$work/prefix" "$prefix"

mirilla=$prefix/bin/mirilla
"$mirilla" scenes --out "$work/scenes.zip" --per-class 5 --size 64 >/dev/null
"$mirilla" train --data "$work/scenes.zip" --resize 64 --size 64 --batch-size 8 --epochs 1 --threads 1 --out "$work/model" >/dev/null
(cd "$work" && unzip -qo scenes.zip)
photo=$(find "$work/test" -name '*.png' | sort | head -n 1)

cmake -S "$source/examples" -B "$work/example" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_FLAGS=-O1 >/dev/null
cmake --build "$work/example" >/dev/null
is_png() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ]; }
"$work/example/predict" "$work/model/model.safetensors" "$photo" "$work/why.png" | tee "$work/said"
grep -qE '^[a-z]+  [0-9.]+ %$' "$work/said"
is_png "$work/why.png"
status=0
"$work/example/predict" "$work/none.safetensors" "$photo" "$work/none.png" 2>"$work/error" || status=$?
[ "$status" = 1 ] && grep -q '^predict: ' "$work/error" && [ ! -e "$work/none.png" ]

mkdir "$work/photos" "$work/network"
(cd "$work/photos" && "$work/example/photos" "$work/scenes.zip" "$work/model/model.safetensors" "$photo" 1) | tee "$work/said"
grep -q '^epoch     train_loss  valid_loss  accuracy  time' "$work/said"
grep -qE '^(buildings|forest|glacier|mountain|sea|street)$' "$work/said"
is_png "$work/photos/why.png" && [ -s "$work/photos/best.safetensors" ]
(cd "$work/network" && "$work/example/network" "$work/scenes.zip" "$photo") | tee "$work/said"
grep -qE '^cpu: loss [0-9.]+, [a-z]+ looks at body.8 of \(1,4,4,32\)$' "$work/said"
grep -qE '^simt: loss [0-9.]+, [a-z]+ looks at body.8 of \(1,4,4,32\)$' "$work/said"
is_png "$work/network/why-cpu.png" && is_png "$work/network/why-simt.png"
"$work/example/operator" | tee "$work/said"
[ "$(grep -c ': good, error' "$work/said")" = 2 ]

export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name mirilla.pc)")
read -ra flags < <(pkg-config --cflags mirilla)
printf '#include <mirilla/mirilla.h>\n#include <mirilla/version.h>\nint main() { return mirilla::device_names().empty() + MIRILLA_VERSION_MAJOR; }\n' >"$work/small.cpp"
read -ra libraries < <(pkg-config --libs mirilla)
"${CXX:-c++}" "${flags[@]}" "$work/small.cpp" -o "$work/small" "${libraries[@]}" -Wl,-rpath,"$(dirname "$PKG_CONFIG_PATH")"
"$work/small"

mkdir "$work/parent" && cp "$work/small.cpp" "$work/parent/"
cat >"$work/parent/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(parent LANGUAGES CXX)
add_subdirectory($source mirilla EXCLUDE_FROM_ALL)
add_executable(small small.cpp)
target_link_libraries(small PRIVATE Mirilla::mirilla)
END
cmake -S "$work/parent" -B "$work/parent/build" -G Ninja >/dev/null
[ ! -e "$work/parent/build/bin" ] || { say "a part of another project wrote into that project's build folder"; exit 1; }
if ninja -C "$work/parent/build" -t targets all | grep -q test_engine; then say "a part of another project brings its tests"; exit 1; fi
# Its libraries are this build's; to check the headers through add_subdirectory one object is enough.
ninja -C "$work/parent/build" mirilla_headers CMakeFiles/small.dir/small.cpp.o >/dev/null
say "installed, moved, found by CMake and pkg-config, and part of another project"
