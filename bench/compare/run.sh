#!/usr/bin/env bash
# Compares the library with ONNX Runtime and PyTorch: bench/compare/run.sh [options of compare.py]
# Installs what is missing (apt, npm), builds, measures; the results are in build/compare.
set -euo pipefail
cd "$(dirname "$0")/../.."
source examples/common/apt.sh
need g++ cmake ninja-build libxsimd-dev libbenchmark-dev util-linux \
  python3-torch libopenblas0 python3-torchvision python3-numpy python3-matplotlib
command -v npm >/dev/null || need nodejs npm  # Debian's do not go together with others

out=build/compare
mkdir -p "$out"
# Not the newest of all times: figures are compared over the months. Its GPU libraries are not needed.
[ -d "$out/node_modules/onnxruntime-node" ] ||
  ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --no-save --prefix "$out" onnxruntime-node@1.30.0
settings=(-G Ninja -DCMAKE_BUILD_TYPE=Release -DQCNET_BUILD_TESTS=OFF -DQCNET_BUILD_EXAMPLES=OFF)
cmake -S . -B "$out/best" "${settings[@]}" >/dev/null
cmake --build "$out/best" --target qcnet_engine qcnet_bench >/dev/null
options=(--build "$out/best" --node-modules "$PWD/$out/node_modules" --out "$out")
if grep -q avx512f /proc/cpuinfo; then
  cmake -S . -B "$out/avx2" "${settings[@]}" -DQCNET_ARCH=x86-64-v3 >/dev/null
  cmake --build "$out/avx2" --target qcnet_engine >/dev/null
  options+=(--avx2 "$out/avx2/bench/qcnet_engine")
fi
for python in python3 /usr/bin/python3; do
  "$python" -c 'import torch, matplotlib' 2>/dev/null && exec "$python" bench/compare/compare.py "${options[@]}" "$@"
done
echo "no Python with torch and matplotlib was found (Debian: python3-torch python3-matplotlib)" >&2
exit 1
