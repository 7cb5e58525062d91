#!/bin/sh
# Fuzzes every target, or those named, for so many seconds each, starting from tests/corpus (deployments from
# tests/golden). Fails on a finding; the input that caused it lies in the build folder.
# Usage: tests/fuzz/run.sh SECONDS [TARGET...]    e.g. tests/fuzz/run.sh 600 frame
# Environment: FUZZ_CXX (default clang++-14), FUZZ_BUILD (default build/fuzz)
set -eu
seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET...]}
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${FUZZ_BUILD:-$root/build/fuzz}
[ $# -gt 0 ] || set -- $(cd "$root/tests/fuzz" && ls *_fuzz.cpp | sed 's/_fuzz\.cpp$//')
if [ $# -gt 1 ]; then  # as many at a time as there are processors
  printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 "$0" "$seconds"
  exit
fi
target=$1
seeds=$root/tests/corpus/$target longest=8192
if [ "$target" = deployment ]; then seeds=$root/tests/golden longest=262144; fi
mkdir -p "$build/$target.found"
"${FUZZ_CXX:-clang++-14}" -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  -I "$root/include" -I "$root/examples" -I "$root/tests" -DQCNET_TEST_DATA="\"$root/tests\"" \
  "$root/tests/fuzz/${target}_fuzz.cpp" -lpugixml -o "$build/${target}_fuzz"
echo "fuzzing $target for $seconds s"
# New inputs go to the first folder, findings to the prefix; the seeds stay as they are.
"$build/${target}_fuzz" -max_total_time="$seconds" -max_len="$longest" -rss_limit_mb=1024 -print_final_stats=1 \
  -verbosity=0 -print_funcs=0 -artifact_prefix="$build/$target-" "$build/$target.found" "$seeds"
