#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
#
#   tests/run.sh         the library's tests and its programs, natively; no PyTorch; minutes
#   tests/run.sh --all   also every instruction set, Clang's sanitizers, fuzzing, consumers, clang-tidy and parity with
#                        PyTorch; what CI runs
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/common/apt.sh

all=0
case "${1:-}" in
  "") ;;
  --all) all=1 ;;
  *) echo "usage: tests/run.sh [--all]" >&2; exit 2 ;;
esac

trap 'trap - INT TERM; kill 0' INT TERM  # what runs beside ends, too
mkdir -p build/logs
passed=0 failed=()
declare -A process started
# beside NAME COMMAND...: starts a command that needs but one processor; keeps its output for the case that it fails.
beside() {
  local name=$1
  shift
  "$@" >"build/logs/${name// /-}.log" 2>&1 &
  process[$name]=$! started[$name]=$SECONDS
}
# joined NAME: waits for it.
joined() {
  local name=$1 log=build/logs/${1// /-}.log start=${started[$1]} status=0
  wait "${process[$1]}" || status=$?
  if [ $status = 0 ]; then
    passed=$((passed + 1))
    echo "ok      $name ($((SECONDS - start)) s)"
    grep '^skipped: ' "$log" || true  # what it could not look at
  else
    failed+=("$name")
    echo "FAILED  $name ($((SECONDS - start)) s); the end of $log:"
    tail -n 40 "$log"
  fi
}
# step NAME COMMAND...: both.
step() {
  beside "$@"
  joined "$1"
}

build() { cmake --preset "$1" -DQCNET_WERROR=ON && cmake --build --preset "$1"; }
tests_of() { ctest --test-dir "build/$1" --no-tests=error --output-on-failure -j "$(nproc)"; }
# The whole test program, built for one instruction set and run.
tests_for() { build "$1" && tests_of "$1"; }
# The instruction set that the library takes for these flags.
isa_of() { g++ -std=c++20 -I include "$@" -E -P -x c++ - <<<$'#include <qcnet/simd/isa.hpp>\nQCNET_ISA' | tail -n 1; }
# Whether this processor runs what -march=LEVEL builds.
runs() { [[ $(/lib64/ld-linux-x86-64.so.2 --help 2>/dev/null) == *"$1 (supported"* ]]; }

need g++ cmake ninja-build libxsimd-dev doctest-dev libbenchmark-dev libstb-dev libcli11-dev libpugixml-dev python3
step "native build" build native
step "native tests" tests_of native
beside "rules" tests/rules.sh
step "programs" tests/examples/programs.sh build/native
joined "rules"

if [ $all = 1 ]; then
  need clang clang-tidy clang-format libclang-rt-14-dev libomp-dev g++-aarch64-linux-gnu g++-arm-linux-gnueabihf qemu-user git \
    python3-torch libopenblas0 python3-torchvision python3-tqdm python3-pil python3-numpy python3-matplotlib dataset-fashion-mnist
  step "formatting" bash -o pipefail -c "git ls-files '*.hpp' '*.cpp' | xargs -r clang-format --dry-run -Werror"
  for isa in sse2 scalar; do step "tests on $isa" tests_for $isa; done
  native=$(isa_of -march=native)
  for isa in avx512:x86-64-v4 avx2:x86-64-v3; do
    if ! runs "${isa#*:}"; then
      step "build for ${isa%:*} (this processor cannot run it)" build "${isa%:*}"
    elif [ "${isa%:*}" != "$native" ]; then
      step "tests on ${isa%:*}" tests_for "${isa%:*}"
    fi
  done
  beside "instruction sets that have no preset" tests/isa_paths.sh
  step "tests on aarch64 under qemu" tests_for aarch64
  step "tests on armv7 under qemu" tests_for armv7
  joined "instruction sets that have no preset"
  step "tests under sanitizers" tests_for sanitize
  beside "programs under sanitizers" tests/examples/programs.sh build/sanitize
  step "clang-tidy" clang-tidy -p build/sanitize --quiet examples/{evaluate,server}.cpp
  joined "programs under sanitizers"
  beside "consumers" tests/consumers/run.sh
  step "README's code" bash -c "tests/readme.sh && tests/readme.sh docs/detection.md && tests/readme.sh docs/packets.md"
  step "training scripts" env QCNET_INFO=build/native/examples/info /usr/bin/python3 weights/selftest.py
  joined "consumers"
  step "fuzzing" tests/fuzz/run.sh 30
  step "parity with PyTorch" tests/parity/run.sh build/native
fi

for name in "${failed[@]+"${failed[@]}"}"; do echo "failed: $name"; done
echo "$passed passed, ${#failed[@]} failed"
[ ${#failed[@]} = 0 ]
