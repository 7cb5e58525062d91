#!/usr/bin/env bash
# The demonstration, on Debian 12: a ResNet split between two processes classifies the 10,000 test images of
# Fashion-MNIST from one bit per feature; then a table compares the ways of crossing the cut.
#   examples/demo.sh [FOLDER]      FOLDER holds resnet-fashion-*.safetensors (default: weights/shipped)
set -euo pipefail
weights=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")/.."
. examples/common/apt.sh
weights=${weights:-$PWD/weights/shipped} build=$PWD/build/demo
images=$build/t10k-images-idx3-ubyte

fail() { echo "demo.sh: $1" >&2; exit 1; }
compgen -G "$weights/resnet-fashion-*.node.safetensors" >/dev/null ||
  fail "$weights: holds no resnet-fashion-*.node.safetensors; name a folder that does"

need g++ cmake make gzip libxsimd-dev libstb-dev libcli11-dev libpugixml-dev dataset-fashion-mnist

echo "Building into build/demo (a few minutes the first time) ..."
mkdir -p "$build"
{ cmake -S . -B "$build" -DQCNET_BUILD_TESTS=OFF -DQCNET_BUILD_BENCH=OFF -DQCNET_INSTALL=OFF &&
  cmake --build "$build" -j "$(nproc)" --target node server evaluate; } >"$build/build.log" 2>&1 ||
  { tail -n 20 "$build/build.log" >&2; fail "the build failed, all of its output is in $build/build.log"; }
for file in images-idx3-ubyte labels-idx1-ubyte; do
  gunzip -c /usr/share/datasets/fashion-mnist/t10k-$file.gz >"$build/t10k-$file"
done

cd "$build/examples"
result=
for node in "$weights"/resnet-fashion-*.node.safetensors; do
  cut=${node%.node.safetensors}
  server=$cut-qcnet.server.safetensors
  cut=${cut##*-}
  printf '\n== 10,000 images through "node | server", cut after %s\n' "$cut"
  ./node "$node" "$images" | ./server "$server" --labels "$images" >answers.tsv 2>server.log ||
    { cat server.log >&2; fail "the pipe failed"; }
  cat server.log
  [ "$(wc -l <answers.tsv)" = 10000 ] || fail "the server did not answer all of the 10,000 images"
  result+="; $cut $(grep -o 'accuracy .*' server.log)"
done
for node in "$weights"/resnet-fashion-*.node.safetensors; do
  printf '\n== '
  ./evaluate "$images" "$node" "${node%.node.safetensors}"-*.server.safetensors
done
printf '\ndemo.sh: OK: 10,000 images classified from one bit per feature%s\n' "$result"
