#!/usr/bin/env bash
# Tests of instruction sets that no preset builds for: those of bits/ and simd/, where code differs between them.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/isa
# The headers of the host, which a cross compiler does not look at.
for library in xsimd doctest; do ln -sfn "/usr/include/$library" "build/isa/$library"; done
printf '#include "%s"\n' "$PWD"/tests/{bits,simd}/*_test.cpp >build/isa/all.cpp

# check NAME RUN COMPILER FLAGS...
check() {
  local name=$1 run=$2
  shift 2
  "$@" -std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Wno-restrict -I include -I tests \
    -isystem build/isa -DQCNET_TEST_DATA="\"$PWD/tests\"" tests/main.cpp tests/allocations_test.cpp build/isa/all.cpp -o "build/isa/$name"
  $run "build/isa/$name" >"build/isa/$name.log" || { cat "build/isa/$name.log"; return 1; }
  echo "$name: $(tail -n 3 "build/isa/$name.log" | head -n 1)"
}
if [ "$(uname -m)" = x86_64 ]; then
  check ssse3 "" g++ -march=x86-64-v2
  if grep -qw avx512vl /proc/cpuinfo; then check avx512-without-vpopcntdq "" g++ -march=x86-64-v4; fi
fi
check neon-without-fma "qemu-arm" arm-linux-gnueabihf-g++ -static -march=armv7-a+neon -Wno-psabi
