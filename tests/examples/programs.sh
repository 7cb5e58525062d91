#!/usr/bin/env bash
# Runs the example programs as a user would, on good input and on bad. Bad input must give an exit status
# other than 0, exactly one line on stderr that says why, and no half-written file.
#   tests/examples/programs.sh BUILD [WEIGHTS]      BUILD was made by cmake; WEIGHTS default to weights/shipped
set -uo pipefail
ulimit -f $((1 << 20)) -t 600  # a program that writes or computes without end fails, and fills no disk
root=$(cd "$(dirname "$0")/../.." && pwd)
[ -x "${1:-}/examples/node" ] || { echo "programs.sh: name a build folder that holds examples/node" >&2; exit 2; }
bin=$(cd "$1/examples" && pwd) weights=$(realpath "${2:-$root/weights/shipped}")
node=$weights/resnet-fashion-layer2.node.safetensors
server=$weights/resnet-fashion-layer2-qcnet.server.safetensors
entropy=$weights/resnet-fashion-layer2.entropy.safetensors
other=$weights/resnet-cifar10-layer1.node.safetensors
for file in "$node" "$server" "$entropy" "$other"; do
  [ -f "$file" ] || { echo "programs.sh: $file is missing" >&2; exit 2; }
done
work=$(mktemp -d) && cd "$work" && trap 'rm -rf "$work"' EXIT

python3 - "$node" "$server" <<'PYTHON' || exit 2
import json, os, random, struct, sys, zlib

def write(path, header, data):
    text = json.dumps(header).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)

def read(path):
    raw = open(path, "rb").read()
    size, = struct.unpack("<Q", raw[:8])
    return raw, json.loads(raw[8:8 + size]), raw[8 + size:]

for name, path in ("node", sys.argv[1]), ("server", sys.argv[2]):
    raw, header, data = read(path)
    tensor = "conv1.weight" if name == "node" else "fc.weight"
    begin, end = header[tensor]["data_offsets"]
    def variant(kind, change):
        copy = json.loads(json.dumps(header))
        write(f"{name}-{kind}.safetensors", copy, change(copy) or data)
    open(f"{name}-truncated.safetensors", "wb").write(raw[:len(raw) * 2 // 3])
    variant("nan", lambda h: data[:begin] + b"\x00\x7e" + data[begin + 2:])
    variant("missing", lambda h: h.update({"renamed": h.pop(tensor)}))
    variant("shape", lambda h: h[tensor].update(shape=[(end - begin) // 2, 1]))
    variant("dtype", lambda h: h[tensor].update(dtype="I16"))
    variant("format", lambda h: h["__metadata__"].update({"qcnet.format": "2"}))
    variant("cut", lambda h: h["__metadata__"].update({"qcnet.cut": "layer9"}))
    variant("changed", lambda h: data[:begin] + bytes(end - begin) + data[end:])
variant("accuracy", lambda h: h["__metadata__"].update({"qcnet.accuracy": "93.27"}))
# Half as high: the network takes it, only the check would not.
def half(h):
    h.update({f"no.{part}": h.pop(f"qcnet.check.{part}") for part in ("map", "output")})
    height, width, channels = h["__metadata__"]["qcnet.feature"].split()
    h["__metadata__"]["qcnet.feature"] = f"{int(height) // 2} {width} {channels}"
variant("feature", half)
variant("hash", lambda h: h["__metadata__"].update({"qcnet.hash": "0123456789abcdef"}))

def png(path, pixels, height=28, width=28):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + pixels[y * width:(y + 1) * width] for y in range(height))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
                           + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

random.seed(1)
for label in range(10):
    os.makedirs(f"pictures/{label}")
    for i in range(10):
        png(f"pictures/{label}/{i}.png", random.randbytes(784))
good = open("pictures/0/0.png", "rb").read()
open("truncated.png", "wb").write(good[:200])
open("text.png", "w").write("no picture")
os.makedirs("half-bad/0")
png("half-bad/0/0.png", bytes(784))
open("half-bad/0/1.png", "wb").write(good[:200])
os.makedirs("empty")
os.makedirs("strangers/strange")
png("strangers/strange/0.png", bytes(784))
open("short-images-idx3-ubyte", "wb").write(struct.pack(">IIII", 0x803, 10, 28, 28))
PYTHON

failures=0 checks=0
wrong() { failures=$((failures + 1)); printf 'FAILED: %s\n' "$1"; sed 's/^/    /' err; }

# bad STATUS WORDS COMMAND...: COMMAND ends with STATUS, one line on stderr that holds WORDS, and nothing on stdout
bad() {
  local status=$1 words=$2 before; shift 2
  checks=$((checks + 1)) before=$(ls)
  "$@" >out 2>err
  local got=$?
  if [ $got != "$status" ]; then wrong "exit status $got, expected $status: ${*/#$work/.}"
  elif [ "$(wc -l <err)" != 1 ]; then wrong "not one line on stderr: $*"
  elif ! grep -qF -- "$words" err; then wrong "\"$words\" is not on stderr: $*"
  elif [ -s out ]; then wrong "something is on stdout: $*"
  elif [ "$(ls)" != "$before" ]; then wrong "files were left: $(ls | tr '\n' ' ')"; fi
}
# good WORDS COMMAND...: COMMAND ends with 0 and prints WORDS on stdout or stderr
good() {
  local words=$1; shift
  checks=$((checks + 1))
  "$@" >out 2>err || { wrong "exit status $?, expected 0: $*"; return; }
  grep -qF -- "$words" out err || wrong "\"$words\" was not printed: $*"
}
touch out err
receive() { "$bin/server" "$server" "$@" --quiet <frames; }
evaluate() { "$bin/evaluate" "$@" --json table.json --predictions predictions.tsv; }

# The good path.
good "100 pictures" "$bin/node" "$node" pictures -o frames
cp frames all-frames
good "of 100 right" bash -c '"$0" "$1" --labels pictures <frames' "$bin/server" "$server"
"$bin/node" "$node" pictures --quiet | "$bin/server" "$server" --quiet >piped || wrong "node | server"
receive >from-file && cmp -s piped from-file && [ "$(wc -l <piped)" = 100 ] || wrong "a pipe and a file give different answers"
good "100 pictures" "$bin/node" "$node" pictures --compress -o frames
[ "$(stat -c %s frames)" -lt "$(stat -c %s all-frames)" ] || wrong "--compress makes frames shorter"
receive >from-file && cmp -s piped from-file || wrong "compressed frames give different answers"
good "compressed" "$bin/info" frames
cp frames compressed-frames
good "100 pictures" "$bin/node" "$node" pictures --entropy-model "$entropy" -o frames
[ "$(stat -c %s frames)" -lt "$(stat -c %s compressed-frames)" ] || wrong "--entropy-model makes frames still shorter"
receive --entropy-model "$entropy" >from-file && cmp -s piped from-file || wrong "modeled frames give different answers"
bad 1 "the file that its node was given" "$bin/server" "$server" --strict <frames
bad 1 "the file that its node was given" "$bin/info" frames
good "16 channels, 6 neighbors" "$bin/info" "$entropy"
good "compressed" "$bin/info" frames --entropy-model "$entropy"
bad 1 "holds entropy models, expected a node file" "$bin/node" "$entropy" pictures -o new-frames
good "by its entropy model" evaluate pictures "$node" "$server" --entropy-model "$entropy"
good "coded" "$bin/plan" "$node" "$server" "$entropy" --pictures pictures --limit 2 --link ble
bad 1 "of another node" "$bin/node" "$other" pictures --entropy-model "$entropy" -o new-frames
bad 1 "no file of entropy models" "$bin/node" "$node" pictures --entropy-model "$server" -o new-frames
bad 1 "its node (.node.safetensors) is missing" "$bin/plan" "$entropy" --link ble
bad 2 "--entropy-model" "$bin/node" "$node" pictures --mtu 100 --entropy-model "$entropy" -o new-frames
good "100 pictures" "$bin/node" "$node" pictures --mtu 100 -o frames
cp frames packet-frames
receive >from-file && cmp -s piped from-file || wrong "a frame in packets gives a different answer"
python3 -c "
import struct
packets, at, every = open('frames', 'rb').read(), 0, []
while at < len(packets):
    end = at + 4 + struct.unpack_from('<I', packets, at)[0]
    every.append(packets[at:end])
    at = end
open('frames', 'wb').write(b''.join(p for i, p in enumerate(every) if i % 6 != 5))"
good "100 frames answered" "$bin/server" "$server" <frames
grep -q "100 of their 600 packets lost" err && [ "$(wc -l <out)" = 100 ] || wrong "a frame is answered without a packet"
cp all-frames frames
good "QCNet, model frozen" evaluate pictures "$node" "${node%.node*}"-*.server.safetensors --limit 100
[ "$(wc -l <predictions.tsv)" = 101 ] && python3 -m json.tool table.json >/dev/null || wrong "evaluate's files"
good "6 packets of which 30.0 % are lost" evaluate pictures "$node" "$server" --packet-loss 0.3 --mtu 100
rm -f table.json predictions.tsv
good "pictures/0/0.png" "$bin/classify" "$node" "$server" pictures/0/0.png
good "100 frames" "$bin/info" frames
good "the recorded input gives the recorded output" "$bin/info" "$node" "$server"
for program in classify detect node server evaluate info plan; do good "Example" "$bin/$program" --help; done

# The command line.
for program in classify detect node server evaluate info plan; do
  bad 2 "--help" "$bin/$program"
  bad 2 "--no-such" "$bin/$program" x y z --no-such
done

# Weights.
for kind in truncated nan missing shape dtype format cut changed; do
  case $kind in
    missing) words=".weight: there is no such tensor" ;;
    shape | nan) words=.weight: ;;
    dtype) words="elements are I16" ;;
    format) words="format 2" ;;
    changed) words=qcnet.check ;;
    *) words=-$kind.safetensors ;;
  esac
  bad 1 "$words" "$bin/node" node-$kind.safetensors pictures -o new-frames
  bad 1 "$words" "$bin/info" node-$kind.safetensors
  bad 1 "$words" evaluate pictures node-$kind.safetensors "$server"
  [ $kind = cut ] && continue  # a server finds the cut by its frames
  bad 1 "$words" "$bin/server" server-$kind.safetensors
  bad 1 "$words" "$bin/info" server-$kind.safetensors
  bad 1 "$words" "$bin/classify" "$node" server-$kind.safetensors pictures/0/0.png
  bad 1 "$words" evaluate pictures "$node" server-$kind.safetensors
done
bad 1 "nowhere.safetensors: cannot be opened" "$bin/node" nowhere.safetensors pictures -o new-frames
bad 1 "nowhere.safetensors: cannot be opened" "$bin/server" nowhere.safetensors
bad 1 "nowhere.safetensors: cannot be opened" "$bin/classify" nowhere.safetensors pictures/0/0.png
bad 1 "nowhere: cannot be opened" "$bin/info" nowhere
bad 1 "expected a node file" "$bin/node" "$server" pictures -o new-frames
bad 1 "expected a server file" "$bin/server" "$node"
bad 1 "node's file first" "$bin/classify" "$server" pictures/0/0.png
bad 1 "a server's file and pictures" "$bin/classify" "$node"
bad 1 "does not belong to" evaluate pictures "$node" server-hash.safetensors
bad 1 "does not belong to" "$bin/classify" "$node" server-hash.safetensors pictures/0/0.png
bad 1 "is no safetensors file" "$bin/classify" pictures/0/0.png "$node"
bad 1 "pictures: is a folder" "$bin/info" pictures
good "server of the classifier" "$bin/info" server-feature.safetensors
bad 1 "their qcnet.feature differ" evaluate pictures "$node" server-feature.safetensors

bad 1 "packets of 34 bytes are too small" "$bin/node" "$node" pictures --mtu 34 -o new-frames
bad 1 "packets of 34 bytes are too small" evaluate pictures "$node" "$server" --packet-loss 0.1 --mtu 34
good "unpartitioned" evaluate pictures "$node" "$server" --mtu 34  # no packets are made
rm -f table.json predictions.tsv
bad 2 "--packet-loss: nan is not a number from 0 to 1" evaluate pictures "$node" "$server" --packet-loss nan
bad 2 "--limit: -1 is not a number above 0" "$bin/node" "$node" pictures --limit -1 -o new-frames
bad 2 "--limit: 010 is not a number above 0" "$bin/node" "$node" pictures --limit 010 -o new-frames
bad 2 "--number-from: 18446744073709551616 is not a number from 1 to 2^63" "$bin/node" "$node" pictures \
  --number-from 18446744073709551616 -o new-frames
bad 2 "--compress" "$bin/node" "$node" pictures --mtu 100 --compress -o new-frames

# Pictures and datasets.
bad 1 "truncated.png" "$bin/classify" "$node" "$server" truncated.png
bad 1 "text.png: not a JPEG, PNG or BMP" "$bin/node" "$node" text.png -o new-frames
bad 1 "half-bad/0/1.png" "$bin/node" "$node" half-bad -o new-frames
bad 1 "half-bad/0/1.png" evaluate half-bad "$node" "$server"
bad 1 "empty: no pictures found" "$bin/node" "$node" empty -o new-frames
bad 1 "empty: no pictures found" evaluate empty "$node" "$server"
bad 1 "knows no class \"strange\"" evaluate strangers "$node" "$server"
bad 1 "short-images-idx3-ubyte" evaluate short-images-idx3-ubyte "$node" "$server"
bad 1 "nowhere" evaluate nowhere "$node" "$server"
: >pictures.zip
bad 1 "pictures.zip: is an archive; unzip it" evaluate pictures.zip "$node" "$server"
bad 1 "pictures.zip: is an archive; unzip it" "$bin/node" "$node" pictures.zip -o new-frames
bad 1 "no-folder/frames" "$bin/node" "$node" pictures -o no-folder/frames
bad 1 "no-folder/table" "$bin/evaluate" pictures "$node" "$server" --json no-folder/table

# Options that a file leaves no use for.
for option in "--size 64" "--mean 0.5,0.5,0.5"; do
  for command in "classify $node $server pictures/0/0.png" "plan $node $server --link ble"; do
    bad 1 "$node: says itself how pictures are prepared; leave out ${option% *}" "$bin/"$command $option
  done
done
bad 2 "requires --labels" "$bin/server" "$server" --split test
[[ $(ldd "$bin/classify") =~ lib(g|)omp ]] ||
  bad 2 "built without OpenMP, for one thread" "$bin/classify" "$node" "$server" pictures/0/0.png --threads 2

# Frames.
damage() { python3 -c "
import struct
f = open('all-frames', 'rb').read()
n = struct.unpack('<I', f[:4])[0] + 4
open('frames', 'wb').write($1)"; }
damage "f[:n] + f[n:n + 40] + b'?' + f[n + 41:2 * n]"
bad 1 "frame 1 of stdin: the frame's checksum" bash -c 'dd if=frames bs=$(($(stat -c %s frames) / 2)) skip=1 status=none | "$0" "$1" --strict' "$bin/server" "$server"
"$bin/server" "$server" --quiet <frames >out 2>err
[ $? = 1 ] && [ "$(wc -l <out)" = 1 ] && [ "$(wc -l <err)" = 2 ] && grep -q "1 of 2 messages were refused" err ||
  wrong "a damaged frame is skipped and counted"
for change in "f[:4] + b'QCNX' + f[8:n]" "struct.pack('<I', 3) + b'QCN'" "struct.pack('<I', 0)" \
  "struct.pack('<I', n - 4) + bytes(n - 4)"; do
  damage "$change" || wrong "damage"
  bad 1 "frame 1 of stdin" receive --strict
done
damage "f[:n - 1]" || wrong "damage"
bad 1 "ends within a frame" receive
damage "f[:2]" || wrong "damage"
bad 1 "ends within a frame" receive
damage "b'\xff' * 1000" || wrong "damage"
bad 1 "at most" receive
damage "b''" || wrong "damage"
bad 1 "no frames" receive
"$bin/node" "$other" pictures/0/0.png -o frames --quiet || wrong "node of another model"
bad 1 "another model" receive --strict
damage "f[:n] * 2"
"$bin/server" "$server" --strict --quiet <frames >out 2>err && wrong "a replayed frame is accepted"
grep -q "replayed" err || wrong "a replayed frame is named"
damage "f[:n - 1]" || wrong "damage"
bad 1 "frames: frame 1" "$bin/info" frames
damage "f[4:n - 1]" || wrong "damage"
bad 1 "frames: the frame's checksum" "$bin/info" frames

# Streams that break off, and outputs that cannot be written.
head -c -10 packet-frames >frames
"$bin/server" "$server" <frames >out 2>err
[ $? = 1 ] && [ "$(wc -l <out)" = 100 ] && grep -q "100 frames answered" err && grep -q "ends within a frame" err ||
  wrong "what came before a stream breaks off is answered"
cp all-frames frames
bad 1 "cannot be read" "$bin/server" "$server" --quiet <.
bad 1 "stdout: cannot be written" bash -c '"$0" "$1" --quiet <frames >/dev/full' "$bin/server" "$server"
bad 1 "holds packets" "$bin/info" packet-frames
bad 1 "stdout: cannot be written" bash -c '"$0" "$1" --quiet <frames | true; exit ${PIPESTATUS[0]}' "$bin/server" "$server"
bad 1 "cannot be written" bash -c 'ulimit -f 4; exec "$0" "$1" pictures -o new-frames' "$bin/node" "$node"
bad 1 "claims 0 bytes" "$bin/server" "$server" --quiet </dev/zero
bad 1 "no regular file" "$bin/info" /dev/stdin < <(cat frames)
bad 1 "says itself how pictures are prepared" "$bin/info" "$node" --size 8
bad 2 "--max-bytes" "$bin/server" "$server" --max-bytes -1
bad 2 "--mtu" "$bin/evaluate" pictures "$node" "$server" --mtu -1
bad 2 "the name is empty" "$bin/node" "$node" pictures -o ""
bad 2 "the name is empty" "$bin/evaluate" pictures "$node" "$server" --json ""
bad 1 "is named twice" "$bin/evaluate" pictures "$node" "$server" "./$(realpath --relative-to . "$server")"
bad 1 "cannot take both" "$bin/evaluate" pictures "$node" "$server" --json table.json --predictions ./table.json
bad 1 "takes a new connection" bash -c '"$0" "$1" pictures/0/0.png --quiet | cat frames - | "$2" "$3" --strict --quiet >/dev/null' "$bin/node" "$node" "$bin/server" "$server"
good "101 frames answered" bash -c '"$0" "$1" pictures/0/0.png --quiet --number-from 101 | cat frames - | "$2" "$3"' "$bin/node" "$node" "$bin/server" "$server"
ln -s linked-table link
good "unpartitioned" "$bin/evaluate" pictures "$node" "$server" --limit 2 --json link
[ -L link ] && grep -q unpartitioned linked-table || wrong "a link is written through"

for part in detectors families plans; do
  . "$root/tests/examples/$part.sh" || wrong "$part.sh did not run to its end"
done

echo "programs.sh: $checks checks, $failures failed"
[ $failures = 0 ]
