#!/usr/bin/env bash
# Compares the library with PyTorch: tests/parity/run.sh BUILD_DIR [options of parity.py]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: tests/parity/run.sh BUILD_DIR [options of parity.py]" >&2; exit 2; }
export OMP_WAIT_POLICY=passive  # both sides have threads, on a machine that may be busy
here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
cmake --build "$build" --target parity >/dev/null
for python in ${PYTHON:-} python3 /usr/bin/python3; do
  "$python" -c 'import torch, torchvision' 2>/dev/null && exec "$python" "$here/parity.py" "$build/tests/parity" "$@"
done
echo "no Python with torch and torchvision was found (Debian: python3-torch libopenblas0 python3-torchvision)" >&2
exit 1
