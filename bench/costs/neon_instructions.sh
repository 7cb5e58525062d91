#!/usr/bin/env bash
# Instructions that kernels execute on ARM, counted under qemu, as no ARM machine is at hand to time them: two calls less
# one. Debian: g++-aarch64-linux-gnu g++-arm-linux-gnueabihf qemu-user libxsimd-dev.
#   bench/costs/neon_instructions.sh [FLAGS...]    64-bit ARM, or with flags the 32-bit ARM that they say
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s /usr/include/xsimd "$work/xsimd"
if [ $# = 0 ]; then compiler=aarch64-linux-gnu-g++ qemu=qemu-aarch64; else compiler=arm-linux-gnueabihf-g++ qemu=qemu-arm; fi
$compiler "$@" -std=c++20 -O3 -DNDEBUG -static -I include -isystem "$work" bench/costs/neon_instructions.cpp -o "$work/kernels"
# With one instruction a block and no chaining, qemu logs a line for each.
executed() { $qemu -singlestep -d exec,nochain -D /dev/stdout "$work/kernels" "$@" | grep -c '^Trace'; }
echo "| kernel | instructions | multiply-adds or elements | of them an instruction |"
echo "|---|---|---|---|"
$qemu "$work/kernels" | while IFS=$'\t' read -r amount name; do
  count=$(($(executed "$name" 2) - $(executed "$name" 1)))
  echo "| $name | $count | $amount | $(awk -v a="$amount" -v c="$count" 'BEGIN { printf "%.2f", a / c }') |"
done
