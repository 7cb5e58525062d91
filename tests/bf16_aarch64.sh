#!/usr/bin/env bash
# bfloat16 on ARM: its tests, built for ARMv8.6 and run under qemu, which the aarch64 preset's processor lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/bf16
# The headers of the host, which the cross compiler does not look at.
for library in xsimd doctest; do ln -sfn "/usr/include/$library" "build/bf16/$library"; done
aarch64-linux-gnu-g++ -std=c++20 -O1 -march=armv8.6-a -static -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
  -Wno-restrict -I include -I tests -isystem build/bf16 -DQCNET_TEST_DATA="\"$PWD/tests\"" \
  tests/main.cpp tests/kernels/bf16_test.cpp -o build/bf16/tests
qemu-aarch64 -cpu max build/bf16/tests
