#!/usr/bin/env bash
# Tests of instruction sets that no preset builds for, where code differs between them, and whether programs compile for 32 bits.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/isa
# The headers of the host, which a cross compiler does not look at.
for library in xsimd doctest stb CLI pugixml.hpp pugiconfig.hpp; do ln -sfn "/usr/include/$library" "build/isa/$library"; done
printf '#include "%s"\n' "$PWD"/tests/{bits,simd}/*_test.cpp >build/isa/bits.cpp

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Wno-restrict)
# check NAME TESTS RUN COMPILER FLAGS...
check() {
  local name=$1 tests=$2 run=$3
  shift 3
  "$@" -std=c++20 -O1 "${warnings[@]}" -I include -I tests -isystem build/isa -DQCNET_TEST_DATA="\"$PWD/tests\"" \
    tests/main.cpp tests/allocations_test.cpp "$tests" -o "build/isa/$name"
  $run "build/isa/$name" >"build/isa/$name.log" || { cat "build/isa/$name.log"; return 1; }
  echo "$name: $(tail -n 3 "build/isa/$name.log" | head -n 1)"
}
arm32=(arm-linux-gnueabihf-g++ -Wno-psabi)
if [ "$(uname -m)" = x86_64 ]; then
  check ssse3 build/isa/bits.cpp "" g++ -march=x86-64-v2
  check sse2-with-fma build/isa/bits.cpp "" g++ -mavx -mfma
  if grep -qw avx512vl /proc/cpuinfo; then
    check avx512-without-vpopcntdq build/isa/bits.cpp "" g++ -march=x86-64-v4
  else
    echo "skipped: AVX-512 without VPOPCNTDQ, as this processor has no AVX-512"
  fi
fi
check neon-without-fma build/isa/bits.cpp qemu-arm "${arm32[@]}" -static -march=armv7-a+neon
check neon-with-bf16 tests/kernels/bf16_test.cpp "qemu-aarch64 -cpu max" aarch64-linux-gnu-g++ -static -march=armv8.6-a
for program in examples/*.cpp; do
  "${arm32[@]}" -march=armv7-a+neon-vfpv4 -std=c++20 "${warnings[@]}" -I include -isystem build/isa -fsyntax-only "$program"
done
