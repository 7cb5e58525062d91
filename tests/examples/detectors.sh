# What programs.sh checks with a detector: a tiny YOLOv3-Tiny of random weights, which finds things nearly everywhere.
# That its boxes are PyTorch's is checked by tests/split/detector_test.cpp.
yolo=$root/tests/golden/tiny-yolo
yolo_node=$yolo.node.safetensors yolo_server=$yolo-qcnet.server.safetensors

python3 - "$yolo" <<'PYTHON' || exit 2
import json, os, random, struct, sys, zlib

def png(path, width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + random.randbytes(3 * width) for _ in range(height))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                           + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

random.seed(2)
png("1x1.png", 1, 1)
png("wide.png", 10000, 1)
os.makedirs("cells/JPEGImages")
for name, width, height in ("a", 90, 50), ("b", 50, 90), ("c", 200, 120):
    png(f"cells/JPEGImages/{name}.png", width, height)

for kind, suffix in ("node", ".node"), ("server", "-qcnet.server"), ("whole", ""):
    raw = open(f"{sys.argv[1]}{suffix}.safetensors", "rb").read()
    size, = struct.unpack("<Q", raw[:8])
    for change, key, value in (("anchors", "qcnet.anchors", None), ("letterbox", "qcnet.letterbox", None),
                               ("masks", "qcnet.masks", "1 2 3 0 1 2"), ("classes", "qcnet.classes", "round\nsquare"),
                               ("unnamed", "qcnet.classes", None)):
        header = json.loads(raw[8:8 + size])
        header["__metadata__"].pop(key)
        if value:
            header["__metadata__"][key] = value
        text = json.dumps(header).encode()
        open(f"yolo-{kind}-{change}.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + size:])
PYTHON

# annotate FOLDER <LINES: boxes "name class score x y w h" become the truth of the pictures in cells, in both layouts
annotate() { python3 -c '
import collections, os, shutil, sys
sizes = {"a": (90, 50), "b": (50, 90), "c": (200, 120)}
root, boxes = sys.argv[1], collections.defaultdict(list)
for line in sys.stdin:
    name, label, _, *box = line.rstrip("\n").split("\t")
    boxes[name].append((label, *map(float, box)))
classes = sorted({label for rows in boxes.values() for label, *_ in rows})
for folder in "Annotations", "ImageSets/Main", "yolo/images/test", "yolo/labels/test":
    os.makedirs(f"{root}/{folder}", exist_ok=True)
if root != "cells":
    shutil.copytree("cells/JPEGImages", f"{root}/JPEGImages", dirs_exist_ok=True)
for name, (width, height) in sizes.items():
    shutil.copy(f"cells/JPEGImages/{name}.png", f"{root}/yolo/images/test")
    open(f"{root}/Annotations/{name}.xml", "w").write("<annotation>" + "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
        "</bndbox></object>" for label, x, y, w, h in boxes[name]) + "</annotation>")
    open(f"{root}/yolo/labels/test/{name}.txt", "w").write("".join(
        f"{classes.index(label)} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}\n"
        for label, x, y, w, h in boxes[name]))
open(f"{root}/ImageSets/Main/test.txt", "w").write("a\nb\nc\n")
open(f"{root}/yolo/classes.txt", "w").write("\n".join(classes) + "\n")
' "$1"; }
detect() { "$bin/detect" "$yolo.safetensors" "$@"; }
# What a method of table.json scores.
score() { python3 -c '
import json, sys
print(next(row for row in json.load(open("table.json"))["rows"] if row["method"] == sys.argv[1])["mAP@0.5"])' "$1"; }

# Boxes that the whole model is surer of than 0.4 as the truth: it finds just these first, so its precision is perfect.
for name in a b c; do detect cells/JPEGImages/$name.png --score 0.4 | sed "s/^/$name\t/"; done >found
[ "$(wc -l <found)" -gt 30 ] && [ "$(cut -f2 found | sort -u | wc -l)" = 3 ] || wrong "detect finds things of every class"
annotate cells <found
for layout in cells cells/yolo; do
  good "100.00 %" evaluate $layout "$yolo_node" "$yolo_server" --split test
  [ "$(score unpartitioned)" = 100.0 ] || wrong "$layout: the whole model's own boxes score $(score unpartitioned)"
  [ "$(score qcnet)" != 100.0 ] || wrong "$layout: the pair's boxes cannot be all the same"
  [ "$(wc -l <predictions.tsv)" = 4 ] || wrong "evaluate's predictions"
  rm -f table.json predictions.tsv
done
# The same of the pair: one process or two, each frame says its picture's size.
"$bin/node" "$yolo_node" cells --split test --quiet >frames || wrong "node"
"$bin/server" "$yolo_server" --score 0.4 --quiet <frames | sed 's/^1/a/; s/^2/b/; s/^3/c/' >piped || wrong "server"
for name in a b c; do
  "$bin/detect" "$yolo_node" --server "$yolo_server" cells/JPEGImages/$name.png --score 0.4 | sed "s/^/$name\t/" || wrong "detect $name" >&2
done >found
cmp -s found piped && [ -s piped ] || wrong "detect and node | server find different things"
annotate pair <found
judge() { "$bin/server" "$yolo_server" --labels "$1" --split test <frames; }
good "mAP@0.5 100.00 % over 3 pictures" judge pair
good "mAP@0.5" judge cells
grep -qF "mAP@0.5 100.00 %" err && wrong "the pair cannot find exactly what the whole model finds"
awk -F'\t' -v OFS='\t' '{ $4 += 1000; print }' found | annotate elsewhere
good "mAP@0.5 0.00 %" judge elsewhere

# Nothing found, much found, and pictures of every shape.
[ "$(detect cells/JPEGImages/a.png --score 0.999)" = "nothing found" ] || wrong "detect finds nothing"
"$bin/server" "$yolo_server" --score 0.999 --quiet <frames >out 2>err &&
  printf '%s\tnothing found\n' 1 2 3 | cmp -s - out || wrong "server says that nothing was found"
[ "$(detect cells/JPEGImages/c.png --score 0 --iou 1 --most 1000 | wc -l)" -gt 150 ] || wrong "detect finds many boxes"
[ "$(detect cells/JPEGImages/c.png --score 0 --most 7 | wc -l)" = 7 ] || wrong "--most"
for name in 1x1 wide; do
  good "round" detect $name.png --score 0 -o boxed.png
  awk -F'\t' -v most=$([ $name = wide ] && echo 10000 || echo 1) '
    $3 < 0 || $4 < 0 || $3 + $5 > most + 0.11 || $4 + $6 > 1.11 { bad = 1 } END { exit bad }' out || wrong "$name: boxes outside"
  good "round" detect boxed.png --score 0
  rm boxed.png
done
python3 -c '
print("".join(f"a\tround\t1\t{i % 40}\t{i // 40}\t{20 + i % 7}\t{20 + i % 5}\n" for i in range(1000)), end="")' | annotate thousand
good "3 pictures" evaluate thousand "$yolo_node" "$yolo_server"
rm -f table.json predictions.tsv
detect cells/JPEGImages/c.png -o boxed.png >out
detect cells/JPEGImages/c.png -o none.png --score 0.999 >out  # finds nothing
[ -s none.png ] || wrong "nothing was written where nothing is found"
cmp -s boxed.png none.png && wrong "nothing was drawn"
[ "$(head -c 4 boxed.png | tail -c 3)" = PNG ] || wrong "no PNG was written"
rm -f boxed.png none.png
good "the detector tiny-yolo" "$bin/info" "$yolo_node" "$yolo_server" "$yolo.safetensors"
good "24 x 33, 41 x 38; fine map 9 x 12, 20 x 11" "$bin/info" "$yolo_server"

# A detector is no classifier.
bad 1 "whose boxes the program detect prints" "$bin/classify" "$yolo.safetensors" 1x1.png
bad 1 "whose boxes the program detect prints" "$bin/classify" "$yolo_node" "$yolo_server" 1x1.png
bad 1 "whose answers the program classify prints" "$bin/detect" "$node" 1x1.png
bad 1 "with --server" "$bin/detect" "$yolo_node" 1x1.png
bad 1 "needs no --server" "$bin/detect" "$yolo.safetensors" 1x1.png --server "$yolo_server"
bad 1 "is a server's file" "$bin/detect" "$yolo_server" 1x1.png
bad 1 "does not belong to" "$bin/detect" "$yolo_node" 1x1.png --server "$server"
bad 1 "neither a VOC folder" evaluate pictures "$yolo_node" "$yolo_server"
bad 1 "cells: has boxes, but resnet-fashion is a classifier" evaluate cells "$node" "$server"
bad 1 "--split is for" evaluate pictures "$node" "$server" --split test
bad 1 "--split is for" "$bin/node" "$node" pictures --split test -o new-frames

# Files.
for kind in anchors letterbox masks classes; do
  case $kind in
    anchors | letterbox) words="metadata \"qcnet.$kind\" is" ;;
    masks) words="does not have 5 channels and its classes for 3 anchors" ;;
    classes) words="names 2 classes, but the network tells 3 apart" ;;
  esac
  bad 1 "$words" "$bin/detect" yolo-whole-$kind.safetensors 1x1.png -o boxed.png
  bad 1 "$words" "$bin/info" yolo-whole-$kind.safetensors
  bad 1 "$words" "$bin/server" yolo-server-$kind.safetensors
  bad 1 "$words" evaluate cells "$yolo_node" yolo-server-$kind.safetensors
  [[ $kind == anchors || $kind == letterbox ]] || continue  # the others are about the network's outputs
  bad 1 "$words" "$bin/node" yolo-node-$kind.safetensors cells -o new-frames
done
head -c 1000 /dev/zero >small.weights
bad 1 "small.weights: yolov3-tiny of 80 classes" "$bin/detect" small.weights 1x1.png
bad 1 "small.weights: yolov3-tiny of 3 classes" "$bin/detect" small.weights 1x1.png --names cells/yolo/classes.txt
bad 2 "--masks" "$bin/detect" small.weights 1x1.png --anchors 10,14
bad 1 "--anchors and --masks: metadata" "$bin/detect" small.weights 1x1.png --anchors "10,14,  23" --masks 0
bad 1 "small.weights: yolov3-tiny of 80 classes" "$bin/detect" small.weights 1x1.png --anchors "10,14,  23,27" --masks "0,1"
bad 1 "--size 100 is not a multiple of 32" "$bin/detect" small.weights 1x1.png --size 100
for option in "--names cells/yolo/classes.txt" "--size 64"; do
  bad 1 "$yolo.safetensors: says that itself; leave out ${option% *}" "$bin/detect" "$yolo.safetensors" 1x1.png $option
done
bad 1 "no-names: cannot be read" "$bin/detect" small.weights 1x1.png --names no-names
bad 1 "boxed.jpg: boxes are drawn into a PNG file" "$bin/detect" "$yolo.safetensors" 1x1.png -o boxed.jpg
: >cells.zip
bad 1 "cells.zip: is an archive; unzip it" "$bin/evaluate" cells.zip "$yolo_node" "$yolo_server"
bad 2 "--score" "$bin/detect" "$yolo.safetensors" 1x1.png --score 2

# Pictures and their boxes.
bad 1 "truncated.png" detect truncated.png -o boxed.png
bad 1 "no-folder/boxed.png" detect 1x1.png -o no-folder/boxed.png
bad 1 "ImageSets/Main/none.txt" evaluate cells "$yolo_node" "$yolo_server" --split none
bad 1 "tells 3 classes apart, the dataset has 1" evaluate thousand "$yolo_node" yolo-server-unnamed.safetensors
good "3 pictures" evaluate cells "$yolo_node" yolo-server-unnamed.safetensors
rm -f table.json predictions.tsv
sed 's/round/strange/' found | annotate strange
bad 1 "knows no class \"strange\"" evaluate strange "$yolo_node" "$yolo_server"
bad 1 "knows no class \"strange\"" "$bin/server" "$yolo_server" --labels strange
annotate without </dev/null
bad 1 "no box in the whole dataset" evaluate without "$yolo_node" "$yolo_server"
echo "<annotation><object>" >without/Annotations/b.xml
bad 1 "without/Annotations/b.xml: not well-formed" evaluate without "$yolo_node" "$yolo_server"
echo "0 0.5 0.5 1.5 1" >cells/yolo/labels/test/b.txt
bad 1 "labels/test/b.txt: line 1" evaluate cells/yolo "$yolo_node" "$yolo_server" --split test
"$bin/server" "$yolo_server" --labels cells/yolo --split test --quiet <frames >out 2>err
[ $? = 1 ] && grep -q "frame 2 of stdin: .*b.txt: line 1" err && ! grep -q "^2" out || wrong "a bad annotation is named"
