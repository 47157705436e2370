#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# course_test.sh MIRILLA COURSE SOURCE: runs docs/course.md in its order: its commands with MIRILLA, and COURSE, the program made of its
# C++, in a folder with a small zip and weights under the course's names. Every file that the page promises must be there. The pages in both
# languages must have the same code.
set -euo pipefail
readonly program=$(realpath "$1") course=$(realpath "$2") source=$(realpath "$3")
readonly tests=$source/tests/docs
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for language in sh cpp python; do
  diff <(python3 -c "import sys; sys.path.insert(0, '$tests'); sys.dont_write_bytecode = True
import pathlib, blocks; print(blocks.blocks(pathlib.Path(sys.argv[1]), '$language'))" "$source/docs/course.md") \
    <(python3 -c "import sys; sys.path.insert(0, '$tests'); sys.dont_write_bytecode = True
import pathlib, blocks; print(blocks.blocks(pathlib.Path(sys.argv[1]), '$language'))" "$source/docs/curso.md") ||
    { echo "course.md and curso.md differ in their $language" >&2; exit 1; }
done

cd "$folder"
"$program" scenes --out scenes.zip --per-class 12 --size 48 >/dev/null
"$program" train --data scenes.zip --out first --resize 72 --size 64 --batch-size 8 --epochs 1 >/dev/null
cp first/model.safetensors resnet18.pth  # the content decides the kind of a file
cp first/model.safetensors modelResnet18.pth
python3 - <<'PYTHON'
import re
import zipfile
with zipfile.ZipFile("scenes.zip") as scenes, zipfile.ZipFile("IntelImageClassification.zip", "w") as course:
    for name in scenes.namelist():
        course.writestr("IntelImageClassification/" + name, scenes.read(name))
        if re.fullmatch(r"test/mountain/0+\.png", name):
            course.writestr("IntelImageClassification/test/mountain/20058.jpg", scenes.read(name))
PYTHON

# The course's sizes, made small: sizes on the page are replaced, sizes that it leaves to the defaults are added.
mirilla() {
  local words=() small=()
  case $1 in train | lr-find | show-batch) small=(--resize 72 --size 64 --batch-size 8) ;; esac
  while [ $# -gt 0 ]; do
    case $1 in
      --epochs) words+=(--epochs 1); shift 2 ;;
      --resize) words+=(--resize 72); shift 2 ;;
      --size) words+=(--size 64); shift 2 ;;
      *) words+=("$1"); shift ;;
    esac
  done
  echo "\$ mirilla ${words[*]} ${small[*]}"
  "$program" "${words[@]}" "${small[@]}" </dev/null
}
commands=$(python3 "$tests/blocks.py" sh "$source/docs/course.md")
eval "$commands"
for file in batch.png one-picture.png lr-find/lr_find.png lr-find/lr_find.csv model/model.safetensors model/loss.png \
            interpretation/confusion.png last.png earlier.png; do
  [ -s "$file" ] || { echo "docs/course.md: $file was not made" >&2; exit 1; }
done

rm -f last.png earlier.png
"$course" | tee course.out
grep -q "^SuggestedLRs(valley=" course.out
tail -n 1 course.out | grep -qxE "buildings|forest|glacier|mountain|sea|street"
for file in modelResnet18.safetensors loss.png last.png earlier.png; do
  [ -s "$file" ] || { echo "docs/course.md: its C++ did not make $file" >&2; exit 1; }
done
echo "course: all there"
