#!/usr/bin/env bash
# Compiles the README's code: every ```cpp block that follows a line <!-- compiled: NAME -->.
#
#   tests/readme.sh [FILE]
#
# A block with an #include line is compiled as it stands; any other becomes the body of a function.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
page=${1:-$root/README.md}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk -v work="$work" '
  function fail(what) { print FILENAME ":" NR ": " what > "/dev/stderr"; failed = 1; exit 1 }
  match($0, /^<!-- compiled: [A-Za-z0-9_-]+ -->$/) { name = $3; next }
  name != "" && !inside && /^```cpp$/ { inside = 1; file = work "/" name ".block"; printf "" > file; next }
  name != "" && !inside && /[^ \t]/ { fail("a cpp block was expected behind the comment \"compiled: " name "\"") }
  inside && /^```$/ { close(file); inside = 0; name = ""; next }
  inside { print > file }
  END { if (!failed && (inside || name != "")) fail("the block \"" name "\" does not end") }
' "$page"

shopt -s nullglob
blocks=("$work"/*.block)
[ ${#blocks[@]} -gt 0 ] || { echo "$page: no block is marked <!-- compiled: NAME -->" >&2; exit 1; }
for block in "${blocks[@]}"; do
  name=$(basename "$block" .block)
  unit=$work/$name.cpp
  if grep -q '^#include' "$block"; then
    { echo "#line 1 \"README block $name\""; cat "$block"; } >"$unit"
  else
    {
      echo "#include <qcnet/qcnet.hpp>"
      echo "void example();"
      echo "void example() {"
      echo "#line 1 \"README block $name\""
      cat "$block"
      echo "}"
    } >"$unit"
  fi
  "${CXX:-c++}" -std=c++20 -march=native -Wall -Wextra -Werror -Wno-unused -I "$root/include" -fsyntax-only "$unit"
  echo "ok      $name"
done
