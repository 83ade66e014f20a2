#!/usr/bin/env bash
# Pictures and films at the command line: what is shown, in whatever way, gives the answer of the
# reference; what is no picture, or damaged, one sentence. pictures.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

folder=$source/tests/data/vl/tiny
images=$source/tests/data/vl/images
greedy=(-m "$folder" --exact --temp 0 --max-tokens 16)
chat=("$runnel" chat "${greedy[@]}" --json)

# tokens: of the last answer
tokens() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["text_tokens"])' out; }
# golden NAME: those of the reference
golden() {
    python3 - "$source/tests/data/vl/expect/$1/greedy.npy" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
print(list(struct.unpack("<16i", data[-64:])))
PY
}
same() { # same NAME GOLDEN
    if [ "$(tokens)" = "$(golden "$2")" ]; then pass; else fail "$1: $(tokens)"; fi
}

# ---- The ways to show
question="What is this?"
expect 0 "--image" "${chat[@]}" --image "$images/small-30x47.png" "$question"
same "--image" one
holds "views and positions" '"images": *\[{"views": *1, *"tokens": *8, *"ms": *[0-9.]*}\]'
INPUT=$images/small-30x47.png expect 0 "--image -" "${chat[@]}" --image - "$question"
same "--image -" one
printf '@%s%s\n' "$images/small-30x47.png" " $question" > line
cp "$images/small-30x47.png" picture.wav # what it is, its bytes say
INPUT=line expect 0 "@FILE" "${chat[@]}"
same "@FILE" one
printf '/image picture.wav\n%s\n' "$question" > line
INPUT=line expect 0 "/image" "${chat[@]}"
same "/image" one
printf 'Look: @%s How many chairs are there?\n' "$images/pan-420x130.png" > line
INPUT=line expect 0 "tiles" "${chat[@]}"
holds "four views" '"views": *4'
images4=()
for i in 0 1 2 3; do images4+=(--image "$images/frame$i-96x64.png"); done
expect 0 "four pictures" "${chat[@]}" "${images4[@]}" "What moves?"
same "four pictures" video

# ---- Sizes
expect 0 "--no-split" "${chat[@]}" --no-split --image "$images/big-260x200.png" x
holds "one view" '"views": *1, *"tokens": *14'
expect 0 "--image-max-tokens" "${chat[@]}" --no-split --image-max-tokens 4 \
    --image "$images/big-260x200.png" x
holds "fewer positions" '"tokens": *[1-6],'
refuse 2 "tokens out of range" "image-max-tokens" "${chat[@]}" --image-max-tokens 0 x

# ---- Films
if command -v ffmpeg > /dev/null && command -v ffprobe > /dev/null; then
    ffmpeg -nostdin -v error -y -framerate 1 -i "$images/frame%d-96x64.png" -c:v ffv1 \
        -pix_fmt bgr0 film.mkv
    expect 0 "--video" "${chat[@]}" --video film.mkv "What moves?"
    same "--video" video
    printf '/video film.mkv\nWhat moves?\n' > line
    INPUT=line expect 0 "/video" "${chat[@]}"
    same "/video" video
    expect 0 "--max-frames" "${chat[@]}" --video film.mkv --max-frames 2 "What moves?"
    holds "two frames" '"images": *\[{[^}]*}, *{[^}]*}\]'
    refuse 5 "no film" "config.json" "${chat[@]}" --video "$folder/config.json" x
fi

# ---- From every layout the same answer as before it was converted
expect 0 "bundle" "$runnel" convert -q "$folder" -o bundle.gguf
expect 0 "set" "$runnel" convert -q "$folder" -o set.gguf --format set
for file in bundle.gguf set.gguf; do
    greedy=(-m "$file" --exact --temp 0 --max-tokens 16)
    expect 0 "$file" "$runnel" chat "${greedy[@]}" --json --image "$images/small-30x47.png" \
        "$question"
    same "$file" one
done
expect 0 "info" "$runnel" info "$folder"
holds "the tower" "^tower *3 layers, width 96, 4 heads of 24"

# ---- dump
for stage in patches embedded tower.{0..2} post_norm image_rows; do
    expect 0 "dump $stage" "$runnel" dump "$stage" -q -m "$folder" "$images/small-30x47.png" \
        -o "$stage.npy"
done
python3 - "$source/tests/data/vl/expect/small" <<'PY' || fail "dump against the reference"
import struct, sys
def load(path):
    data = open(path, "rb").read()
    size = 10 + struct.unpack("<H", data[8:10])[0]
    return struct.unpack(f"<{(len(data) - size) // 4}f", data[size:])
for name, want in [("embedded", "embedded"), ("tower.0", "layer0"), ("tower.2", "layer2"),
                   ("post_norm", "post_norm"), ("image_rows", "rows")]:
    a, b = load(name + ".npy"), load(f"{sys.argv[1]}/{want}.npy")
    assert len(a) == len(b) and max(abs(x - y) for x, y in zip(a, b)) < 1e-4, name
PY

# ---- Refusals: one sentence each, nothing written
refuse 2 "no tower" "takes no pictures" "$runnel" chat -q --image "$images/dot-1x1.png" x
refuse 2 "- without a message" "as an argument" "${chat[@]}" --image -
refuse 5 "missing" "nowhere.png" "${chat[@]}" --image nowhere.png x
refuse 5 "over the limit" "max-pixels" "${chat[@]}" --max-pixels 100 \
    --image "$images/small-30x47.png" x
refuse 5 "no picture" "no picture" "${chat[@]}" --image "$folder/config.json" x
printf '/image %s\n' "$images/dot-1x1.png" > line
INPUT=line refuse 5 "no question" "without a question" "${chat[@]}"

# A picture of every sort, cut, lied about, huge or no picture at all.
python3 - "$images" <<'PY'
import pathlib, struct, sys, zlib
images, out = pathlib.Path(sys.argv[1]), pathlib.Path("bad")
out.mkdir()
png, jpeg = (images / "small-30x47.png").read_bytes(), (images / "chroma420-83x61.jpg").read_bytes()
def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
def make(width, height, depth=8, colour=2, data=b"", extra=b""):
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth,
        colour, 0, 0, 0)) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
bomb = zlib.compress(bytes(1 << 20), 9)
bad = {f"cut{i}.png": png[:len(png) * i // 8] for i in range(8)}
bad |= {f"cut{i}.jpg": jpeg[:len(jpeg) * i // 8] for i in range(1, 8)}
bad |= {f"size{i}.png": make(w, h) for i, (w, h) in enumerate(
    [(0, 1), (1, 0), (65535, 65535), (1 << 31, 1), (30000, 30000), (30000, 2), (65536, 1)])}
bad |= {"bomb.png": make(65000, 65000, data=bomb), "depth.png": make(1, 1, 5), "colour.png":
        make(1, 1, 8, 5), "text.png": make(1, 1, extra=chunk(b"zTXt", b"a\0\0" + bomb)),
        "sum.png": png[:40] + b"\xff" + png[41:], "palette.png": make(1, 1, 8, 3, bomb),
        "size.jpg": jpeg.replace(b"\xff\xc0\0\x11\x08\0\x3d\0\x53",
                                 b"\xff\xc0\0\x11\x08\xff\xff\xff\xff"),
        "twelve.jpg": jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "zero.jpg": jpeg.replace(b"\xff\xc0\0\x11\x08\0\x3d", b"\xff\xc0\0\x11\x08\0\0"),
        "webp": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(24), "lossless": b"RIFF\xff\xff\xff\x7fWEBPVP8L"
        + bytes(64), "gif": b"GIF89a\xff\xff\xff\xff" + bytes(20), "bmp": b"BM" + bytes(12) +
        struct.pack("<IiiHH", 40, 60000, 60000, 1, 24) + bytes(64), "tiff": b"II*\0" + b"\xff" * 4,
        "heic": b"\0\0\0\x18ftypheic" + bytes(40), "empty": b"", "nul": bytes(4096),
        "text": b"a picture of a cat"}
for name, data in bad.items():
    (out / name).write_bytes(data)
PY
# Memory is bounded, where a sanitizer does not reserve all there is.
bounded=(prlimit --as=1500000000)
"${bounded[@]}" "$runnel" chat -t 1 --help > /dev/null 2>&1 || bounded=()
count=0
for file in bad/*; do
    case $file in *.jpg) # the replacement must have met something
        cmp -s "$file" "$images/chroma420-83x61.jpg" && fail "$file is not changed" ;;
    esac
    echo "/image $file"
done > line
INPUT=line expect 5 "damaged, lying, huge" "${bounded[@]}" "$runnel" chat -q -t 1 -m "$folder"
for file in bad/*; do
    check "$file: one sentence" [ "$(grep -c "^runnel: $file: " err)" -eq 1 ]
    count=$((count + 1))
done
check "40 damaged, lying and huge pictures at least ($count)" [ "$count" -ge 40 ]
summary
