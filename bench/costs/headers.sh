#!/usr/bin/env bash
# What the headers cost: seconds to compile them (user time, the best of three), and bytes of a node's program.
# Debian: g++ libxsimd-dev; for the program's size on ARM g++-aarch64-linux-gnu.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds() {  # COMMAND...: its user time
  local best=999 spent
  for _ in 1 2 3; do
    spent=$( { TIMEFORMAT=%U; time "$@" >/dev/null; } 2>&1)
    best=$(awk -v a="$best" -v b="$spent" 'BEGIN { print a < b ? a : b }')
  done
  echo "$best"
}
printf '#include <qcnet/models/resnet.hpp>\n#include <qcnet/split/node.hpp>\n' >"$work/resnet.cpp"
echo "a node for ResNets alone: $(seconds g++ -std=c++20 -O2 -march=native -I include -c "$work/resnet.cpp" -o "$work/out.o") s"
for header in node server qcnet; do
  echo "#include <qcnet/$header.hpp>" >"$work/$header.cpp"
  echo "#include <qcnet/$header.hpp>: $(seconds g++ -std=c++20 -O2 -march=native -I include -c "$work/$header.cpp" -o "$work/out.o") s"
done
echo "#include <xsimd/xsimd.hpp>, of that: $(echo '#include <xsimd/xsimd.hpp>' >"$work/x.cpp" &&
  seconds g++ -std=c++20 -O2 -march=native -c "$work/x.cpp" -o "$work/out.o") s"

command -v aarch64-linux-gnu-g++ >/dev/null || exit 0
ln -s /usr/include/xsimd "$work/xsimd"
program() {  # INCLUDES ARGUMENT: what it loads its model with
  printf '%s\n' "$1" 'int main(int, char** argv) {' \
    "  qcnet::Node node = qcnet::Node::load(argv[1], qcnet::Verify::yes, {.fast = false}, qcnet::models::$2).value();" \
    '  qcnet::Frame frame = node.make_frame();' \
    '  qcnet::vision::Image image{32, 32, 3, std::vector<std::uint8_t>(3072)};' \
    '  return node.encode_into(image, frame).ok() ? 0 : 1; }' >"$work/$2.cpp"
}
program '#include <qcnet/node.hpp>' load
program $'#include <qcnet/models/resnet.hpp>\n#include <qcnet/split/node.hpp>' resnet
cat >"$work/empty.cpp" <<'CPP'
#include <stdexcept>
#include <string>
int main(int, char** argv) { throw std::runtime_error(std::string(argv[0]) + "!"); }
CPP
arm() { aarch64-linux-gnu-g++ -std=c++20 -O2 -DNDEBUG -ffunction-sections -fdata-sections -Wl,--gc-sections \
  -Wl,-z,max-page-size=4096 -static -s \
  -I include -isystem "$work" "$work/$1.cpp" -o "$work/$1" && stat -c %s "$work/$1"; }
node=$(arm load) resnet=$(arm resnet) empty=$(arm empty)
echo "a node for aarch64, static and stripped: $((node / 1024)) KiB, $(((node - empty) / 1024)) more than a program that throws a string"
echo "the same for ResNets alone: $((resnet / 1024)) KiB, $(((resnet - empty) / 1024)) more"
