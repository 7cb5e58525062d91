# What programs.sh checks with a ViT and a ConvNeXt, and with nodes of other kinds: tiny deployments of random weights from tests/golden. For the golden
# picture the answers are PyTorch's; for others the whole models, put together from the pairs, say what is right.
golden=$root/tests/golden

python3 - "$golden" <<'PYTHON' || exit 2
import json, math, os, random, struct, sys, zlib

def read(name):
    raw = open(f"{sys.argv[1]}/{name}.safetensors", "rb").read()
    size, = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + size])
    about = header.pop("__metadata__")
    return about, {name: (entry["dtype"], entry["shape"], raw[8 + size:][slice(*entry["data_offsets"])])
                   for name, entry in header.items()}

def write(name, about, tensors):
    header, data = {"__metadata__": about}, b""
    for key, (dtype, shape, content) in tensors.items():
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    open(f"{name}.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)

def png(path, pixels, width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + pixels[y * 3 * width:(y + 1) * 3 * width] for y in range(height))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                           + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

def picture(name, known):
    _, (height, width, _), content = known["picture"]
    png(f"{name}.png", bytes(struct.unpack(f"<{len(content) // 8}q", content)), width, height)

def answers(name, logits, classes):
    logits = struct.unpack("<7f", logits[2])
    total = sum(map(math.exp, logits))
    best = sorted(((math.exp(x) / total, c) for x, c in zip(logits, classes.split("\n"))), reverse=True)
    open(f"{name}.classify", "w").write(f"{name}.png\n" + "".join(f"{100 * p:7.1f} %  {c}\n" for p, c in best))
    open(f"{name}.server", "w").write(f"1\t{best[0][1]}\t{best[0][0]:.4f}\n")

random.seed(3)
for name, method in ("tiny-encoder", "autoencoder"), ("tiny-token-encoder", "autoencoder"), ("tiny-codes", "3-bit"), (
        "tiny-token-codes", "4-bit"), ("tiny-components", "klt"), ("tiny-token-components", "klt-qcnet"), ("tiny-sum", "klt-qcnet"), (
        "tiny-patches", "klt-qcnet"):
    known = read(f"{name}.golden")[1]
    picture(name, known)
    answers(name, known[f"{method}.logits"], read(f"{name}.node")[0]["qcnet.classes"])
for name, method in ("tiny-vit", "qcnet1"), ("tiny-conv_proj", "qcnet"), ("tiny-convnext", "qcnet"):
    known = read(f"{name}.golden")[1]
    picture(name, known)
    os.makedirs(f"{name}-pictures")
    for i in range(12):  # blots of few colours, for their classes to differ
        colours = [random.randbytes(3) for _ in range(1 + i % 3)]
        blots = b"".join(random.choice(colours) * 8 for _ in range(3 * 32))
        png(f"{name}-pictures/{i:02}.png", blots, 24, 32)

    node, head = read(f"{name}.node")
    server, tail = read(f"{name}-{method}.server")
    server["qcnet.method"] = "qcnet"
    whole = {**node, "qcnet.role": "model"}
    model = {key: entry for key, entry in {**head, **tail}.items() if not key.startswith("qcnet.")}
    files = {".node": (node, head), "-qcnet.server": (server, tail), "": (whole, model)}
    other = "convnext" if node["qcnet.architecture"] == "vit" else "vit"
    changes = {"swapped": {"qcnet.architecture": other}, "unknown": {"qcnet.architecture": "vgg"},
               "input": {"qcnet.input": "15 12 3"}, "feature": {"qcnet.feature": "9 9 24"},
               "no-heads": {"qcnet.heads": None}, "5-heads": {"qcnet.heads": "5"}, "8-heads": {"qcnet.heads": "8"},
               "no-inner-heads": {"qcnet.compensator.heads": None}}
    for suffix, (about, tensors) in files.items():
        write(name + suffix, about, tensors)
        for change, values in changes.items():
            changed = {key: value for key, value in {**about, **values}.items() if value}
            write(f"{name}-{change}{suffix}", changed, tensors)

    answers(name, known[f"{method}.logits"], node["qcnet.classes"])
server, tail = read("tiny-codes-3-bit.server")
write("tiny-codes-qcnet.server", {**server, "qcnet.method": "qcnet"}, tail)
PYTHON

# What a method of table.json scores.
accuracy() { python3 -c '
import json, sys
print(next("%.2f" % r["accuracy"] for r in json.load(open("table.json"))["rows"] if r["method"] == sys.argv[1]))' "$1"; }
for name in tiny-vit tiny-conv_proj tiny-convnext; do
  pair=("$name.node.safetensors" "$name-qcnet.server.safetensors")
  # PyTorch's answers, line by line.
  "$bin/classify" "${pair[@]}" $name.png --top 7 >out 2>err &&
    cmp -s out $name.classify || wrong "$name: classify does not answer what PyTorch does"
  "$bin/node" "${pair[0]}" $name.png --quiet | "$bin/server" "${pair[1]}" --quiet >out 2>err &&
    cmp -s out $name.server || wrong "$name: node | server do not answer what PyTorch does"
  good "the recorded input gives the recorded output" "$bin/info" "${pair[@]}"
  good "whole model, the classifier $name" "$bin/info" $name.safetensors
  # The whole model's answers as labels: it is always right, and so many times is the pair, by one program or by three.
  for picture in $name-pictures/*.png; do
    class=$("$bin/classify" $name.safetensors $picture --top 1 | awk 'NR == 2 { print $3 }')
    mkdir -p $name-set/$class && cp $picture $name-set/$class
  done
  [ "$(ls $name-set | wc -l)" -gt 1 ] || [ $name = tiny-conv_proj ] || wrong "$name: pictures of one class prove little"
  good "12 pictures" evaluate $name-set "${pair[@]}"
  [ "$(accuracy unpartitioned)" = 100.00 ] || wrong "$name: the whole model's answers score $(accuracy unpartitioned)"
  [ "$(wc -l <predictions.tsv)" = 13 ] || wrong "$name: evaluate's predictions"
  "$bin/node" "${pair[0]}" $name-set --quiet >frames || wrong "$name: node"
  judge_set() { "$bin/server" "${pair[1]}" --labels $name-set <frames; }
  good "of 12 right: accuracy $(accuracy qcnet) %" judge_set
  cut -f2 out >piped
  for picture in $name-set/*/*.png; do
    "$bin/classify" "${pair[@]}" $picture --top 1 | awk 'NR == 2 { print $3 }'
  done >found
  cmp -s found piped || wrong "$name: classify and node | server answer differently"
  rm -f table.json predictions.tsv
done

# Methods with a node of their own: PyTorch's answers, and a row of evaluate. The bytes are those of the bits.
own() {
  local name=$1 method=$2 title=$3 bytes=$4 pair=("$golden/$1.node.safetensors" "$golden/$1-$2.server.safetensors")
  "$bin/classify" "${pair[@]}" $name.png --top 7 >out 2>err &&
    cmp -s out $name.classify || wrong "$name: classify does not answer what PyTorch does"
  "$bin/node" "${pair[0]}" $name.png --quiet | "$bin/server" "${pair[1]}" --quiet >out 2>err &&
    cmp -s out $name.server || wrong "$name: node | server do not answer what PyTorch does"
  good "the recorded input gives the recorded output" "$bin/info" "${pair[@]}"
  good "$bytes bytes of bits" "$bin/info" "${pair[@]}"
  mkdir -p $name-set/one && cp $name.png $name-set/one
  good "$title " evaluate $name-set "${pair[@]}"
  rm -f table.json predictions.tsv
}
own tiny-encoder autoencoder "autoencoder, model frozen" 80
own tiny-token-encoder autoencoder "autoencoder, model frozen" 10
own tiny-codes 3-bit 3-bit "3 bits a feature, 240"
good "QCNet, model frozen" evaluate tiny-codes-set "$golden/tiny-codes.node.safetensors" tiny-codes-qcnet.server.safetensors
own tiny-token-codes 4-bit "4 bits a feature, model frozen" "4 bits a feature, 25"
own tiny-components klt "principal components, model frozen" "12 bits a pixel, 40"
own tiny-token-components klt-qcnet "QCNet on principal components, model frozen" "15 bits a token, 10"
own tiny-sum klt-qcnet "QCNet on principal components, model frozen" "14 bits a pixel, 96"
own tiny-patches klt-qcnet "QCNet on principal components, model frozen" "patches of 2 x 2 pixels, 14 bits a patch, 48"
good "encoder         0.00 million multiply-adds of these" "$bin/info" $golden/tiny-encoder.node.safetensors

# Names of any length stand beside their maps, not in them.
for model in tiny-vit.safetensors tiny-convnext.safetensors "$golden/resnet_basic.safetensors"; do
  good "cut points" "$bin/info" $model --size 32 --resize 32
  awk '/cut points/ { at = index($0, "map") } at && /^    / { ++rows; if (index($0, " [") + 1 != at) bad = 1 }
       END { exit bad || rows < 2 }' out || wrong "$model: info's table of cut points"
done
good "    encoder.layers.encoder_layer_0  [1, 17, 24] " "$bin/info" tiny-vit.safetensors

# Pairs that are none.
bad 1 "does not belong to" "$bin/classify" tiny-vit.node.safetensors tiny-convnext-qcnet.server.safetensors tiny-vit.png
bad 1 "does not belong to" evaluate tiny-vit-set tiny-vit.node.safetensors tiny-convnext-qcnet.server.safetensors
bad 1 "another model" bash -c '"$0" tiny-vit.node.safetensors tiny-vit.png --quiet |
  "$1" tiny-convnext-qcnet.server.safetensors --strict' "$bin/node" "$bin/server"

# bad_node, bad_server, bad_whole NAME CHANGE WORDS: every program refuses the changed file with WORDS.
bad_node() {
  bad 1 "$3" "$bin/node" $1-$2.node.safetensors $1.png -o new-frames
  bad 1 "$3" "$bin/classify" $1-$2.node.safetensors $1-qcnet.server.safetensors $1.png
  bad 1 "$3" evaluate $1-set $1-$2.node.safetensors $1-qcnet.server.safetensors
  bad 1 "$3" "$bin/info" $1-$2.node.safetensors
}
bad_server() {
  bad 1 "$3" "$bin/server" $1-$2-qcnet.server.safetensors
  bad 1 "$3" "$bin/classify" $1.node.safetensors $1-$2-qcnet.server.safetensors $1.png
  bad 1 "$3" evaluate $1-set $1.node.safetensors $1-$2-qcnet.server.safetensors
  bad 1 "$3" "$bin/info" $1-$2-qcnet.server.safetensors
}
bad_whole() {
  bad 1 "$3" "$bin/classify" $1-$2.safetensors $1.png
  bad 1 "$3" "$bin/info" $1-$2.safetensors
}
for part in node server whole; do
  for name in tiny-vit tiny-convnext; do bad_$part $name unknown 'architecture "vgg" is not known'; done
  bad_$part tiny-convnext swapped "holds no Vision Transformer"
  bad_$part tiny-vit swapped "holds no ConvNeXt"
  bad_$part tiny-vit no-heads 'add metadata "qcnet.heads"'
  bad_$part tiny-vit 5-heads '"qcnet.heads" is "5", which does not divide 24 channels'
  [ $part = whole ] || bad_$part tiny-vit 8-heads "differs by"  # it divides them: only a check can tell
  [ $part = server ] || bad_$part tiny-vit input "an image of 5x4 patches does not fit"
done
bad_server tiny-vit no-inner-heads '"qcnet.compensator.heads" must be a number of heads'
bad_server tiny-vit feature "self-attention takes one input [N, T, 3 C]"
bad_server tiny-convnext feature "features.2.0: expected one input [..., 12], found [1, 9, 9, 24]"
bad_node tiny-vit feature 'but metadata "qcnet.feature" says [1, 9, 9, 24]'
bad_node tiny-convnext input "the head computes [1, 7, 6, 12], but metadata \"qcnet.feature\" says [1, 10, 9, 12]"
good "%  " "$bin/classify" tiny-convnext-input.safetensors tiny-convnext.png  # whole, it takes pictures of any size
