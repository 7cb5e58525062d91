#!/usr/bin/env bash
# Instructions that kernels execute on 64-bit ARM, counted under qemu, as no ARM machine is at hand to time them:
# two calls less one. Debian: g++-aarch64-linux-gnu qemu-user libxsimd-dev.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s /usr/include/xsimd "$work/xsimd"
aarch64-linux-gnu-g++ -std=c++20 -O3 -DNDEBUG -static -I include -isystem "$work" bench/costs/neon_instructions.cpp \
  -o "$work/kernels"
# With one instruction a block and no chaining, qemu logs a line for each.
executed() { qemu-aarch64 -singlestep -d exec,nochain -D /dev/stdout "$work/kernels" "$@" | grep -c '^Trace'; }
echo "| kernel | instructions | multiply-adds or elements | of them an instruction |"
echo "|---|---|---|---|"
qemu-aarch64 "$work/kernels" | while IFS=$'\t' read -r amount name; do
  count=$(($(executed "$name" 2) - $(executed "$name" 1)))
  echo "| $name | $count | $amount | $(awk -v a="$amount" -v c="$count" 'BEGIN { printf "%.2f", a / c }') |"
done
