#!/usr/bin/env python3
"""Writes the files of tests/corpus: well-formed and hostile inputs of the parsers.

They are committed; run this again after changing a case. It needs nothing but Python and is written
independently of the C++ code, so the two check each other.
"""
import bisect
import json
import math
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent


def safetensors(header, data=b"", length=None):
    """A file from a header (JSON value, or bytes taken as they are); `length` overrides its true length."""
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def one(dtype="F32", shape="[1]", offsets="[0,4]", data=b"\0\0\0\0"):
    """A file with a single tensor `w`, its fields written as given."""
    text = '{"w":{"dtype":"%s","shape":%s,"data_offsets":%s}}' % (dtype, shape, offsets)
    return safetensors(text.encode(), data)


W = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'  # its object is left open
F32 = b"\0\0\0\0"

GOOD = {
    "empty": safetensors(b"{}"),
    "padded": safetensors(W + b"}      ", F32),
    "scalar": one(shape="[]", data=struct.pack("<f", 2.5)),
    "zero_size": safetensors({"a": entry("F32", [0], 0, 0), "b": entry("F32", [2, 0, 3], 0, 0),
                              "c": entry("F32", [1], 0, 4), "d": entry("F64", [0, 4294967296], 4, 4)},
                             struct.pack("<f", 1.0)),
    "unaligned": safetensors({"byte": entry("U8", [1], 0, 1), "floats": entry("F32", [2, 2], 1, 17),
                              "halves": entry("F16", [3], 17, 23), "longs": entry("I64", [2], 23, 39)},
                             struct.pack("<B4f3e2q", 7, 1, -2, 3.5, 1e-3, 1, 2, -0.5, 5, -6)),
    "f16": one("F16", "[12]", "[0,24]", struct.pack("<12H", 0, 0x8000, 1, 0x8001, 0x3FF, 0x400, 0x3C00, 0xC000,
                                                    0x7BFF, 0x7C00, 0xFC00, 0x7E01)),
    "bf16": one("BF16", "[9]", "[0,18]", struct.pack("<9H", 0, 0x8000, 1, 0x3F80, 0xC049, 0x7F7F, 0x7F80, 0xFF80,
                                                     0x7FC1)),
    "f32": one("F32", "[6]", "[0,24]", struct.pack("<6I", 1, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001,
                                                   0x7F7FFFFF)),
    "i64": safetensors({"exact": entry("I64", [6], 0, 48), "odd": entry("I64", [2], 48, 64),
                        "largest": entry("I64", [1], 64, 72)},
                       struct.pack("<9q", 0, -1, 2**24, -2**24, 2**62, -2**63, 1, 2**24 + 1, 2**63 - 1)),
    "types": safetensors({name: entry(name, [1], 8 * i, 8 * i + 8) for i, name in enumerate(["F64", "I64", "U64"])}
                         | {name: entry(name, [2], 24 + 8 * i, 32 + 8 * i) for i, name in enumerate(["F32", "I32", "U32"])}
                         | {name: entry(name, [4], 48 + 8 * i, 56 + 8 * i) for i, name in enumerate(["F16", "BF16", "I16", "U16"])}
                         | {name: entry(name, [8], 80 + 8 * i, 88 + 8 * i) for i, name in enumerate(["I8", "U8", "BOOL"])},
                         bytes(104)),
    "eight_dims": one(shape="[1,1,1,1,1,1,1,1]"),
    "text": safetensors(b'{"\\u00e9\\ud83d\\ude00\\n\\/":{ "shape" : [ ] , "data_offsets":[0,1],\t"dtype":"U8"},\n'
                        b'"__metadata__":{"k\xc3\xa9y":"\\"v\\"","":""}}', b"\1"),
}

BAD = {
    # The header's length.
    "no_bytes": b"",
    "seven_bytes": b"\2\0\0\0\0\0\0",
    "length_wraps": safetensors(b"{}", length=2**64 - 4),
    "length_largest": safetensors(b"{}", length=2**64 - 1),
    "length_beyond_file": safetensors(b"{}", length=3),
    "length_above_limit": safetensors(b"{}", length=100_000_001),
    "length_zero": safetensors(b""),
    "length_cuts_header": safetensors(W + b"}", F32, length=len(W)),
    # The header's text.
    "text_leading_space": safetensors(b" {}"),
    "text_array": safetensors(b"[]"),
    "text_after_end": safetensors(b"{}x"),
    "text_newline_after_end": safetensors(b"{}\n"),
    "text_two_objects": safetensors(b"{}{}"),
    "text_comma_at_end": safetensors(W + b",}", F32),
    "text_no_comma": safetensors(W + b' "v":{}}', F32),
    "text_no_colon": safetensors(b'{"w" {}}'),
    "text_single_quotes": safetensors(b"{'w':1}"),
    "text_open_string": safetensors(b'{"w'),
    "text_zero_byte": safetensors(b'{"w\0":{}}'),
    "text_newline_in_string": safetensors(b'{"w\n":{}}'),
    "text_unknown_escape": safetensors(b'{"\\x41":{}}'),
    "text_escape_at_end": safetensors(b'{"\\'),
    "text_short_hex": safetensors(b'{"\\u12":{}}'),
    "text_lone_high_surrogate": safetensors(b'{"\\ud800":{}}'),
    "text_lone_low_surrogate": safetensors(b'{"\\udc00":{}}'),
    "text_two_high_surrogates": safetensors(b'{"\\ud800\\ud800":{}}'),
    "utf8_stray_byte": safetensors(b'{"\x80":{}}'),
    "utf8_overlong": safetensors(b'{"\xc0\xaf":{}}'),
    "utf8_overlong_three": safetensors(b'{"\xe0\x80\xaf":{}}'),
    "utf8_surrogate": safetensors(b'{"\xed\xa0\x80":{}}'),
    "utf8_above_range": safetensors(b'{"\xf4\x90\x80\x80":{}}'),
    "utf8_cut": safetensors(b'{"\xe2\x82'),
    "utf8_escape_codes": safetensors(b'{"\\u001b[31mred":1}'),
    "nested_arrays": safetensors(b'{"w":' + b"[" * 5000),
    "nested_objects": safetensors(b'{"w":' + b'{"shape":' * 1000),
    "nested_shape": one(shape="[" * 1000 + "]" * 1000),
    "nested_metadata": safetensors(b'{"__metadata__":{"a":' + b'{"a":' * 1000),
    "metadata_number": safetensors(b'{"__metadata__":{"a":1}}'),
    "metadata_list": safetensors(b'{"__metadata__":[]}'),
    "metadata_null": safetensors(b'{"__metadata__":null}'),
    # Keys.
    "twice_tensor": safetensors(W + b"," + W[1:] + b"}", F32),
    "twice_tensor_escaped": safetensors(W + b"," + W[1:].replace(b"w", b"\\u0077", 1) + b"}", F32),
    "twice_metadata": safetensors(b'{"__metadata__":{},"__metadata__":{}}'),
    "twice_metadata_key": safetensors(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "twice_shape": safetensors(b'{"w":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', F32),
    "twice_dtype": safetensors(b'{"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', F32),
    "unknown_field": safetensors(b'{"w":{"dtype":"F32","shape":[1],"strides":[1],"data_offsets":[0,4]}}', F32),
    "missing_dtype": safetensors(b'{"w":{"shape":[1],"data_offsets":[0,4]}}', F32),
    "missing_shape": safetensors(b'{"w":{"dtype":"F32","data_offsets":[0,4]}}', F32),
    "missing_offsets": safetensors(b'{"w":{"dtype":"F32","shape":[1]}}', F32),
    "dtype_unknown": one(dtype="F8_E4M3"),
    "dtype_lower_case": one(dtype="f32"),
    "dtype_number": safetensors(b'{"w":{"dtype":1,"shape":[1],"data_offsets":[0,4]}}', F32),
    # Shapes.
    "shape_wraps_to_zero": one(shape="[4294967296,4294967296]", offsets="[0,0]", data=b""),
    "shape_wraps_beside_zero": one(shape="[4294967296,0,4294967296]", offsets="[0,0]", data=b""),
    "shape_bytes_wrap": one(shape="[4611686018427387904]", offsets="[0,0]", data=b""),
    "shape_eight_dims_beyond_file": one(shape="[1,1,1,1,1,1,1,100]", offsets="[0,400]"),
    "shape_nine_dims": one(shape="[1,1,1,1,1,1,1,1,1]"),
    "shape_negative": one(shape="[-1]"),
    "shape_two_negatives": one(shape="[-1,-1]"),
    "shape_minus_zero": one(shape="[-0]"),
    "shape_exponent": one(shape="[1e30]"),
    "shape_fraction": one(shape="[2.5]"),
    "shape_one_point_zero": one(shape="[1.0]"),
    "shape_leading_zero": one(shape="[01]"),
    "shape_plus": one(shape="[+1]"),
    "shape_hex": one(shape="[0x1]"),
    "shape_above_64_bits": one(shape="[18446744073709551616]"),
    "shape_string": one(shape='["1"]'),
    "shape_true": one(shape="[true]"),
    "shape_null": one(shape="null"),
    "shape_number": one(shape="1"),
    "shape_comma_at_end": one(shape="[1,]"),
    # Offsets.
    "offsets_none": one(offsets="[]"),
    "offsets_one": one(offsets="[4]"),
    "offsets_three": one(offsets="[0,4,4]"),
    "offsets_nine": one(offsets="[0,4,0,4,0,4,0,4,0]"),
    "offsets_backwards": one(offsets="[4,0]"),
    "offsets_wrap": one(offsets="[18446744073709551612,0]"),
    "offsets_beyond_file": one(shape="[2]", offsets="[0,8]"),
    "offsets_empty_beyond_file": one(shape="[0]", offsets="[1000,1000]"),
    "offsets_empty_far_beyond_file": one(shape="[0]", offsets="[18446744073709551615,18446744073709551615]"),
    "offsets_negative": one(offsets="[-4,0]"),
    "span_too_short": one(shape="[2]"),
    "span_too_long": one(shape="[0]"),
    "span_other_type": one(dtype="F16"),
    # Where the tensors lie.
    "gap_at_start": one(offsets="[4,8]", data=bytes(8)),
    "gap_between": safetensors({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12)),
    "overlap": safetensors({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
    "same_span_100_times": safetensors({"t%d" % i: entry("U8", [1], 0, 1) for i in range(100)}, b"\0"),
    "empty_inside_another": safetensors({"a": entry("F32", [1], 0, 4), "b": entry("F32", [0], 2, 2)}, F32),
    "trailing_byte": one(data=bytes(5)),
    "trailing_without_tensors": safetensors(b"{}", b"\0"),
    "data_cut": one(data=bytes(3)),
}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


PROBABILITY = [math.floor(65536 / (1 + math.exp(-x / 128)) + 0.5) for x in range(-1024, 1024)]
LOG_ODDS = [bisect.bisect_left(PROBABILITY, 64 * i + 32) - 1024 for i in range(1024)]


class Interval:
    """The range coder of docs/frame.md; what left the interval is in `out`."""

    def __init__(self):
        self.low, self.high, self.out = 0, 2**32 - 1, bytearray()

    def code(self, bit, probability):
        middle = self.low + ((self.high - self.low) * probability >> 16)
        self.low, self.high = (self.low, middle) if bit else (middle + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.out.append(self.high >> 24)
            self.low, self.high = self.low << 8 & 0xFFFFFFFF, self.high << 8 & 0xFFFFFFFF | 255

    def end(self):
        return bytes(self.out) + (b"" if self.low == 0 else bytes([(self.low + 0xFFFFFF) >> 24]))


class Context:
    def __init__(self, limit):
        self.p, self.seen, self.limit = 2**21, 0, limit

    def log_odds(self):
        return LOG_ODDS[self.p >> 12]

    def learn(self, bit):
        self.p += (bit * 2**22 - self.p) * (65536 // (self.seen + 2)) >> 16
        self.seen = min(self.seen + 1, self.limit)


def walk(dims):
    """(image, row, column) of each pixel; of tokens by themselves the row is -1."""
    images, tokens = (dims[0], math.prod(dims[1:-1])) if len(dims) > 2 else (1, math.prod(dims[:-1]))
    side = math.isqrt(tokens)
    if len(dims) == 4:
        lead, width = 0, dims[2]
    elif side**2 in (tokens, tokens - 1):
        lead, width = tokens - side**2, side
    else:
        lead, width = 0, tokens
    return [(image, -1 if t < lead else (t - lead) // width, 0 if t < lead else (t - lead) % width)
            for image in range(images) for t in range(tokens)]


def code_map(interval, dims, pixels):
    places = walk(dims)
    planes = [{place: int(c in pixel) for place, pixel in zip(places, pixels)} for c in range(dims[-1])]
    around, by_density, weights = [Context(255) for _ in range(64)], [Context(255) for _ in range(256)], [24576] * 3
    for c, plane in enumerate(planes):
        ones, in_channel = Context(255), [Context(40) for _ in range(16)]
        for image, y, x in places:
            def at(dy, dx):
                return plane.get((image, y + dy, x + dx), 0) if y + dy >= 0 or dy == 0 else 0
            bits = [at(-1, 1), at(-1, 0), at(-1, -1), at(0, -1), at(0, -2), at(-2, 0)]
            a = sum(bit << i for i, bit in enumerate(bits))
            d = min(max((ones.log_odds() + 768) // 64, 0), 15)
            before = [planes[c - k][image, y, x] if c >= k else 0 for k in (1, 2)]
            used = [around[a], by_density[16 * d + a % 16],
                    in_channel[bits[3] + 2 * bits[1] + 4 * before[0] + 8 * before[1]]]
            odds = [context.log_odds() for context in used]
            mixed = min(max(sum(w * o for w, o in zip(weights, odds)) >> 16, -1024), 1023)
            p, bit = PROBABILITY[mixed + 1024], plane[image, y, x]
            interval.code(bit, p)
            weights = [w + (o * (bit * 65536 - p) + 32768 >> 16) for w, o in zip(weights, odds)]
            for context in used + [ones]:
                context.learn(bit)


class Model:
    """The entropy model of docs/frame.md's test vector, for any number of channels."""

    def __init__(self, channels):
        every = range(channels)
        self.neighbors = [(0, -1), (-1, 0)]
        self.bias = [[20 * c - 30 * r - 60 for c in every] for r in range(5)]
        self.weights = [[[150 if i == c else (3 * i + 5 * c + 7 * k) % 41 - 20 for c in every] for i in every] for k in (0, 1)]
        self.own = [[40 - 9 * (c - i) if c > i else 0 for c in every] for i in every]

    def tensors(self):
        """Their bytes in the order of their names."""
        def numbers(values):
            return numbers(sum(values, [])) if isinstance(values[0], list) else struct.pack("<%df" % len(values), *values)
        return numbers(self.bias) + numbers([list(n) for n in self.neighbors]) + numbers(self.own) + numbers(self.weights)

    def file(self, name):
        data, k, c = self.tensors(), len(self.neighbors), len(self.own)
        header, at = {"__metadata__": {"qcnet.role": "entropy", "qcnet.hash": "0123456789abcdef"}}, 0
        for tensor, shape in ("bias", [5, c]), ("neighbors", [k, 2]), ("own", [c, c]), ("weights", [k, c, c]):
            header[f"{name}.{tensor}"] = entry("F32", shape, at, at + 4 * math.prod(shape))
            at += 4 * math.prod(shape)
        return safetensors(header, data)

    def code_map(self, interval, dims, pixels):
        places = walk(dims)
        known = dict(zip(places, pixels))
        for (image, y, x), ones in known.items():
            around = [(k, known.get((image, y + dy, x + dx), [])) for k, (dy, dx) in enumerate(self.neighbors) if y + dy >= 0]
            row = 4 if y < 0 else (y > 0) + 2 * (x > 0)
            for c in range(dims[-1]):
                odds = self.bias[row][c] + sum(self.own[i][c] for i in ones if i < c)
                odds += sum(self.weights[k][i][c] for k, others in around for i in others)
                interval.code(int(c in ones), PROBABILITY[min(max(odds, -1024), 1023) + 1024])


def frame(model_hash, sequence, picture, *maps, coded=False, modeled=False):
    """A frame as docs/frame.md defines it; each map is (name, dims, pixels), a pixel a list of its set channels."""
    version = 4 if modeled else 3 if coded else 2
    head = b"QCNF" + struct.pack("<HHQQHH", version, len(maps), model_hash, sequence, *picture)
    bits, interval = b"", Interval()
    for name, dims, pixels in maps:
        head += struct.pack("B", len(name)) + name.encode() + struct.pack("<B%dI" % len(dims), len(dims), *dims)
        for channels in pixels:
            bits += sum(1 << c for c in channels).to_bytes((dims[-1] + 7) // 8, "little")
        if modeled:
            Model(dims[-1]).code_map(interval, dims, pixels)
        elif coded:
            code_map(interval, dims, pixels)
    if modeled:
        by_name = sorted((name, Model(dims[-1])) for name, dims, _ in maps)
        head += struct.pack("<I", crc32c(b"".join(model.tensors() for _, model in by_name)))
    if coded or modeled:
        size = len(bits) - (4 if modeled else 0)
        bits = interval.end().ljust((len(bits) + 15) // 16, b"\0")
        assert len(bits) < size, "this frame is to be sent as it is"
    return head + bits + struct.pack("<I", crc32c(head + bits))


def disc(height, width, channels):
    """Pixels of a map of which channel c is a disc that grows with c, but every fifth channel is empty."""
    return [[c for c in range(channels)
             if c % 5 != 4 and (2 * y - height + 1) ** 2 + (2 * x - width + 1) ** 2 <= (c + 2) ** 2]
            for y in range(height) for x in range(width)]


FRAMES = {
    "one_map": frame(0x0123456789ABCDEF, 1, (640, 480),
                     ("layer2", [1, 2, 2, 9], [[0], [8], [0, 1, 2, 3, 4, 5, 6, 7, 8], []])),
    "three_maps": frame(0xFFFFFFFFFFFFFFFF, 2**64 - 1, (0, 0), ("8", [1, 1, 1, 8], [[7]]),
                        ("encoder.layers.encoder_layer_3", [1, 3, 3], [[0], [1], [2]]), ("a-b", [2], [[1]])),
    "coded_one_map": frame(0x0123456789ABCDEF, 1, (640, 480), ("layer2", [1, 4, 4, 9], disc(4, 4, 9)), coded=True),
    # Two images, tokens with and without a class token, tokens that are no square, tokens without images, a vector.
    "coded_maps": frame(7, 8, (0, 0), ("images", [2, 5, 70, 12], disc(10, 70, 12)),
                        ("class", [1, 37, 20], [[3, 7]] + disc(6, 6, 20)), ("patches", [2, 9, 17], disc(6, 3, 17)),
                        ("row", [1, 7, 33], disc(1, 7, 33)), ("grid", [25, 8], disc(5, 5, 8)),
                        ("vector", [300], [[c for c in range(300) if c % 3]]), coded=True),
    "modeled_one_map": frame(0x0123456789ABCDEF, 1, (640, 480), ("layer2", [1, 4, 4, 9], disc(4, 4, 9)), modeled=True),
    "modeled_maps": frame(0x0123456789ABCDEF, 8, (0, 0), ("images", [2, 5, 70, 12], disc(10, 70, 12)),
                          ("class", [1, 37, 20], [[3, 7]] + disc(6, 6, 20)), modeled=True),
    "coded_zeros": frame(7, 9, (1, 1), ("zeros", [1, 16, 16, 64], [[]] * 256), coded=True),
}


def packets(frame, bits_size, count):
    """The packets of an uncoded frame as docs/packets.md defines them."""
    description, bits = frame[28:-4 - bits_size], frame[-4 - bits_size:-4]
    model_hash, sequence, width, height = struct.unpack_from("<QQHH", frame, 8)
    total = 8 * bits_size
    step = total * 40503 // 65536
    while math.gcd(step, total) != 1:
        step += 1
    places = [t * step % total for t in range(total)]
    interleaved = bytes(sum((bits[place // 8] >> place % 8 & 1) << i for i, place in enumerate(places[8 * b:8 * b + 8]))
                        for b in range(bits_size))
    made = {}
    for index in range(count):
        packet = b"QCNP" + struct.pack("<HHQQHHH", 1, count, model_hash, sequence, width, height, index)
        packet += interleaved[bits_size * index // count:bits_size * (index + 1) // count]
        made[str(index)] = packet + struct.pack("<I", crc32c(description + packet))
    return made


def weights(major, minor, *numbers):
    """A Darknet .weights file of this version."""
    seen = struct.pack("<Q" if major * 10 + minor >= 2 else "<I", 9)
    return struct.pack("<3i", major, minor, 0) + seen + struct.pack("<%df" % len(numbers), *numbers)


WEIGHTS = {
    "version_1": weights(0, 1, *range(90)),
    "version_2": weights(0, 2, *range(90)),
    "not_finite": weights(0, 2, *[float("nan")] * 9),
}

ANNOTATIONS = {
    "voc": b"<annotation><object><name>cell</name><bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>30</xmax><ymax>40</ymax>"
           b"</bndbox></object><object><name> a &amp; b </name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>0</xmax>"
           b"<ymax>0</ymax></bndbox></object></annotation>",
    "yolo": b"0 0.5 0.5 0.25 1\n2 1e-1 0.75\t0 0 \r\n\n1 1 1 1 1",
}

for folder, suffix, cases in [
    ("safetensors", "safetensors", {"good_" + k: v for k, v in GOOD.items()} | {"bad_" + k: v for k, v in BAD.items()}),
    ("frame", "frame", FRAMES),
    ("entropy", "entropy.safetensors", {"layer2": Model(9).file("layer2")}),
    ("packet", "packet", packets(FRAMES["one_map"], 8, 3)),
    ("darknet", "weights", WEIGHTS),
    ("annotations", "txt", ANNOTATIONS),
]:
    (HERE / folder).mkdir(exist_ok=True)
    for old in (HERE / folder).glob("*." + suffix):
        old.unlink()
    for name, content in cases.items():
        (HERE / folder / f"{name}.{suffix}").write_bytes(content)
