# What programs.sh checks with plan: its figures against those of the other programs, its choice, and what it refuses.
plan() { "$bin/plan" "$@" --goodput 8000 --energy-per-byte 1e-3; }
# about_plan EXPRESSION: of plan.json, whose ways are w; must be true.
about_plan() {
  checks=$((checks + 1))
  python3 - "$1" <<'PYTHON' || wrong "plan.json: $1"
import json, sys
plan = json.load(open("plan.json"))
w = plan["ways"]
sys.exit(not eval(sys.argv[1]))
PYTHON
}
close='lambda a, b: abs(a - b) < 1e-3 + 1e-3 * b'
deployments=("$weights"/resnet-fashion-layer[23]*.safetensors)

# Deployments: two cuts, three methods, each as it is and coded; a byte takes a millisecond and a millijoule.
good "best accuracy" plan "${deployments[@]}" --pictures pictures --limit 10 --json plan.json --node-scale 3 --latency 5 \
  --session-energy 0.1 --node-power 0.5
about_plan 'len(w) == 15 and plan["model"] == "resnet-fashion" and plan["pictures"] == 10'
about_plan '[x["bytes"] for x in w if x["cut"] and not x["coded"]] == [448] * 3 + [252] * 3'
about_plan 'all(a["bytes"] > b["bytes"] and a["method"] == b["method"] for a, b in zip(w[1:13:2], w[2:13:2]))'
about_plan "all(($close)(x['send_ms'], x['bytes'] + 5) for x in w)"
about_plan "all(($close)(x['energy_mj'], x['bytes'] + 100 + 0.5 * x['node_ms']) for x in w)"
about_plan 'w[0]["sends"] == "the picture'"'"'s file" and w[0]["node_ms"] == w[0]["node_mb"] == 0 < w[0]["server_ms"]'
about_plan '[x["method"] for x in w[-2:]] == ["", "fast"] and {(x["bytes"], x["server_ms"]) for x in w[-2:]} == {(8, 0)}'
about_plan 'w[-1]["node_mb"] > w[-2]["node_mb"] > max(x["node_mb"] for x in w[:-2])'
about_plan '{x["method"]: x["accuracy"] for x in w if x["cut"] == "layer2"}["qcnet"] == 93.27 and w[0]["accuracy"] == 93.64'
about_plan 'w[plan["best"]]["accuracy"] == max(x["accuracy"] for x in w) and w[plan["best"]]["pareto"]'
[ "$(grep -c '^>\*' out)" = 1 ] && [ "$(grep -c ' %$' out)" = 16 ] || wrong "plan's table"
good "coded" plan "${deployments[@]}" --pictures pictures --limit 3 --json plan.json --minimize bytes --max-memory 0.2 \
  --min-accuracy 93
about_plan 'w[plan["best"]]["coded"] and w[plan["best"]]["within_bounds"] and not w[-1]["within_bounds"]'
good "best latency" plan "${deployments[@]}" --picture-bytes 300 --answer-bytes 2 --minimize latency --latency 0 --packet-bytes 100 \
  --json plan.json
about_plan 'len(w) == 9 and plan["pictures"] == 0 and w[0]["bytes"] == 300 and w[-1]["bytes"] == 2'
about_plan '[round(x["send_ms"]) for x in w] == [300] + [500] * 3 + [300] * 3 + [100] * 2'
"$bin/plan" "${deployments[@]}" --link lora >out 2>err && grep -qF "LoRa SF12" out && grep -qF "222 bytes" out &&
  grep -qF "the raw picture" out || wrong "plan --link"

# Accuracies that evaluate measured count more.
evaluate pictures "$node" "${node%.node*}"-*.server.safetensors >out 2>err && mv table.json results.json
rm -f predictions.tsv
good "accuracy" plan "${deployments[@]}" --results results.json --json plan.json
about_plan 'all(x["accuracy"] == next(r["accuracy"] for r in json.load(open("results.json"))["rows"]
                                      if r["method"] == (x["method"] if x["cut"] else "unpartitioned")) for x in w if x["cut"] != "layer3")'
about_plan '{x["accuracy"] for x in w if x["cut"] == "layer3"} == {93.16, 93.29}'

# Whole models: a place with two names is one cut; no accuracy is known, and there are no bits to code.
good "best latency" plan "$golden/resnet_basic.safetensors" --size 32 --resize 32 --pictures pictures --json plan.json
about_plan '[x["cut"] for x in w if x["cut"]].count("layer1") == 1 and "layer1.1" not in [x["cut"] for x in w]'
about_plan 'not any(x["accuracy"] or x["coded"] for x in w) and len(w) > 5'
# A whole model's file may say how accurate that is: cuts are chosen by time all the same.
python3 - "$golden/resnet_basic.safetensors" known.safetensors <<'PYTHON'
import json, struct, sys
raw = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", raw[:8])
header = json.loads(raw[8:8 + size])
header.setdefault("__metadata__", {})["qcnet.accuracy.unpartitioned"] = "0.9"
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + size:])
PYTHON
good "best latency" plan known.safetensors --size 32 --resize 32 --picture-bytes 1000000 --json plan.json
about_plan 'w[0]["accuracy"] == w[-1]["accuracy"] == 90 and not any(x["accuracy"] for x in w if x["cut"])'
rm known.safetensors
good "encoder.layers.encoder_layer_0" plan tiny-vit.safetensors --json plan.json
about_plan 'sorted(x["node_mb"] for x in w) == [x["node_mb"] for x in w]'

# Detectors, whole and cut, with maps that cross beside the cut's own.
good "mAP@0.5" plan "$yolo_node" "$yolo_server" --pictures cells --split test --json plan.json
about_plan 'len(w) == 5 and w[-1]["bytes"] == 120 and plan["pictures"] == 3'
good "layers.10" plan "$yolo.safetensors" --json plan.json
rm plan.json

# No way is good enough: the table, one sentence, and 1.
checks=$((checks + 1))
plan "${deployments[@]}" --max-latency 1 --json plan.json >out 2>err
[ $? = 1 ] && [ "$(wc -l <err)" = 1 ] && grep -qF "no way is within 1.00 ms; nearest is: only the answer" err &&
  grep -qF "the raw picture" out || wrong "plan says what is nearest"
about_plan 'plan["best"] is None'
if python3 -c 'import matplotlib' 2>err; then
  checks=$((checks + 1))
  "$root/examples/plan.py" plan.json -o plan.svg 2>err && grep -qF "<svg" plan.svg || wrong "plan.py plots"
fi
rm -f plan.json plan.svg

# What it refuses.
bad 2 "--link, or --goodput with --energy-per-byte" "$bin/plan" "${deployments[@]}"
bad 2 "--goodput: nan is not a number above 0" "$bin/plan" "${deployments[@]}" --goodput nan --energy-per-byte 1e-3
bad 2 "--latency: -1 is not a number from 0 on" plan "${deployments[@]}" --latency -1
bad 2 "--link, or --goodput with --energy-per-byte" "$bin/plan" "${deployments[@]}" --goodput 1000
bad 2 "--link" "$bin/plan" "${deployments[@]}" --link pigeon
bad 2 "--node-scale" plan "${deployments[@]}" --node-scale 0
bad 2 "--pictures: $server is a file of weights: name it before the options" plan "$node" --pictures pictures "$server"
bad 1 "is the same node as" plan "$node" "$node" "$server"
bad 1 "beyond all numbers" plan "$node" "$server" --node-power 1e308 --node-scale 1e308
bad 1 "no file of a server" plan "$node"
bad 1 "the file of its node" plan "$server"
bad 1 "the file of its node" plan "$node" "$server" server-hash.safetensors
bad 1 "is of the model resnet-fashion" plan "$other" "$node"
bad 1 "is a whole model" plan "$node" "$server" "$yolo.safetensors"
bad 1 "node-truncated.safetensors" plan node-truncated.safetensors "$server"
bad 1 "server-changed.safetensors: qcnet.check" plan "$node" server-changed.safetensors
bad 1 '"qcnet.accuracy" must be a share from 0 to 1, found "93.27"' plan "$node" server-accuracy.safetensors
bad 1 "nowhere.safetensors: cannot be opened" plan nowhere.safetensors
bad 1 "results.json: is about the model resnet-fashion, not tiny-yolo" plan "$yolo_node" "$yolo_server" --results results.json
bad 1 "text.png: expected '{' at byte 0 of the file" plan "$node" "$server" --results text.png
bad 1 "no accuracy is known" plan "$golden/resnet_basic.safetensors" --size 32 --min-accuracy 50
bad 1 "half-bad/0/1.png" plan "$node" "$server" --pictures half-bad
bad 1 "--split is for" plan "$node" "$server" --pictures pictures --split test
bad 1 "no-folder/plan.json" plan "$node" "$server" --json no-folder/plan.json
