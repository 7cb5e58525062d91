#!/usr/bin/env bash
# Uses the library as other projects do: installed, as a subdirectory, and without CMake.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
here=$source/tests/consumers
golden=$source/tests/golden
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
deployment=("$golden/tiny-layer2.node.safetensors" "$golden/tiny-layer2-qcnet1.server.safetensors")
warnings=(-Wall -Wextra -Wpedantic -Werror)

expect_same() {  # NAME PROGRAM: every way of building gives the same answer, as printed
  local name=$1 output
  output=$("$2" "${deployment[@]}") && [ -n "$output" ] || { echo "FAILED  $name: the program fails, or says nothing"; exit 1; }
  [ "${answer:=$output}" = "$output" ] || { echo "FAILED  $name: \"$output\", expected \"$answer\""; exit 1; }
  echo "ok      $name"
}

cmake_project() {  # NAME OPTIONS...
  local name=$1
  shift
  cmake -S "$here/$name" -B "$work/$name" -DCMAKE_BUILD_TYPE=Release "$@" >"$work/log" 2>&1 &&
    cmake --build "$work/$name" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED  $name"; exit 1; }
  expect_same "$name" "$work/$name/consumer"
}

cmake -S "$source" -B "$work/qcnet" -DQCNET_BUILD_TESTS=OFF -DQCNET_BUILD_BENCH=OFF -DQCNET_BUILD_EXAMPLES=OFF \
  -DCMAKE_INSTALL_PREFIX="$work/prefix" >"$work/log" 2>&1 && cmake --install "$work/qcnet" >"$work/log" 2>&1 ||
  { cat "$work/log"; echo "FAILED  install"; exit 1; }
cmake_project find_package -DCMAKE_PREFIX_PATH="$work/prefix"
cmake_project add_subdirectory -DQCNET_SOURCE="$source"

# The command of the README; then a machine without exceptions and RTTI.
plain=(c++ -std=c++20 -O3 -march=native -I "$source/include")
"${plain[@]}" "${warnings[@]}" "$here/plain/deployment.cpp" -o "$work/plain"
expect_same "plain c++" "$work/plain"
"${plain[@]}" "${warnings[@]}" -fno-exceptions -fno-rtti "$here/plain/deployment.cpp" -o "$work/bare"
expect_same "-fno-exceptions -fno-rtti" "$work/bare"
if "$work/bare" "${deployment[1]}" "${deployment[0]}" 2>"$work/log" || ! grep -q "expected a node file" "$work/log"; then
  echo "FAILED  a server's file given to a node without exceptions"
  exit 1
fi
echo "ok      an error without exceptions"

refused() {  # FLAG WORDS
  if "${plain[@]}" "$1" -fsyntax-only "$here/plain/one.cpp" 2>"$work/log" || ! grep -q -- "$2" "$work/log"; then
    echo "FAILED  $1 is not refused"
    exit 1
  fi
  echo "ok      $1 is refused"
}
for flag in -ffast-math -funsafe-math-optimizations -freciprocal-math; do refused $flag "without -ffast-math"; done
[ "$(uname -m)" != x86_64 ] || refused -mfpmath=387 "with -msse2"

od -An -v -tu1 "$golden/tiny-relu.node.safetensors" | sed 's/[0-9][0-9]*/&,/g' >"$work/weights.inc"
"${plain[@]}" "${warnings[@]}" -fno-exceptions -fno-rtti -I "$work" "$here/plain/embedded.cpp" -o "$work/embedded"
(cd / && "$work/embedded" >/dev/null)
echo "ok      weights compiled in"

for compiler in g++ clang++ clang++-14; do
  command -v "$compiler" >/dev/null || continue
  for unit in one two; do
    "$compiler" -std=c++20 -O1 -march=native "${warnings[@]}" -I "$source/include" -c "$here/plain/$unit.cpp" \
      -o "$work/$unit.o"
  done
  "$compiler" "$work/one.o" "$work/two.o" -o "$work/both"
  "$work/both"
  echo "ok      two translation units with $compiler"
  case $compiler in clang*) break ;; esac
done
