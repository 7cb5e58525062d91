#!/usr/bin/env bash
# The study of docs/study.md: builds the library's `evaluate`, then trains and measures; see study.py, which takes all options.
#   weights/study.sh [--quick] [OPTIONS]      on Debian 12; needs CIFAR-10 and BCCD, see weights/README.md
set -euo pipefail
export STUDY_FROM=$PWD
cd "$(dirname "$0")/.."
source examples/common/apt.sh
need g++ cmake make libxsimd-dev libstb-dev libcli11-dev libpugixml-dev libjemalloc2 \
  python3-torch libopenblas0 python3-torchvision python3-tqdm python3-pil python3-numpy python3-matplotlib

build=$PWD/build/study
mkdir -p "$build"
{ cmake -S . -B "$build" -DQCNET_BUILD_TESTS=OFF -DQCNET_BUILD_BENCH=OFF -DQCNET_INSTALL=OFF &&
  cmake --build "$build" -j "$(nproc)" --target evaluate; } >"$build/build.log" 2>&1 ||
  { tail -n 20 "$build/build.log" >&2; echo "study.sh: the build failed, all of its output is in $build/build.log" >&2; exit 1; }
# jemalloc with large pages, which it keeps: in a virtual machine, where a page's first use is dear, training takes half the time.
for library in /usr/lib/*/libjemalloc.so.2; do
  export LD_PRELOAD=$library MALLOC_CONF=thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1
done
exec /usr/bin/python3 weights/study.py --evaluate "$build/examples/evaluate" "$@"
