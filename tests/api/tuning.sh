#!/usr/bin/env bash
# runnel bench --calibrate and the file it keeps: tuning.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"
export XDG_CACHE_HOME=$work/cache
file=$XDG_CACHE_HOME/runnel/tuning.json
answer() { # answer NAME OUT
    expect 0 "$1" "$runnel" reply -q --seed 3 --temp 0.7 --top-k 20 "$question" -o "$2.wav"
    check "$1: silent" test ! -s err
}
same() { check "$1: the same answer" cmp -s plain.wav other.wav; }
keep() { mkdir -p "${file%/*}" && printf '%s\n' "$1" > "$file"; }
# with KEY VALUE: the calibrated file with another value
with() {
    python3 - "$file" "$1" "$2" <<'PY'
import json, sys
o = json.load(open(sys.argv[1]))
o[sys.argv[2]] = json.loads(sys.argv[3])
json.dump(o, open(sys.argv[1], "w"))
PY
}

# what the file holds of passes
told() {
    python3 - "$file" <<'PY'
import json, sys
for p in json.load(open(sys.argv[1]))["passes"]:
    print(p["threads"], p["rows"], len(p["model"]),
          all(0 < t and 0 < f for t, f in zip(p["text_us"], p["frame_us"])))
PY
}

answer "without a tuning" plain
small=(-m "$model" -t 1 --rows 1,2 --depth 64 --repeat 1)
nowhere=(--device-set opencl=/nowhere/libOpenCL.so)
expect 0 "calibrate --json" "$runnel" bench --calibrate --json "${small[@]}" --device gpu \
    "${nowhere[@]}"
check "--json tells what the file holds" cmp -s out "$file"
check "a device that is not there is faster in nothing" grep -q '"device":"gpu","stages":\[\]' out
told > told
check "passes of the model are kept" test "$(cat told)" = "1 [1, 2] 32 True"
if [ -z "${RUNNEL_TEST_SHORT:-}" ]; then
    expect 0 "calibrate" "$runnel" bench --calibrate
    for word in huge_pages prefetch block_kib taken "$file"; do holds calibrate "$word"; done
    told > again
    check "without a model, its passes stay" cmp -s told again
    expect 0 "calibrate a model" "$runnel" bench --calibrate "${small[@]}"
    for word in 'passes .* 1 row .* of tokens, .* of frames' 'passes .* 2 rows'; do
        holds "calibrate a model" "$word"
    done
    holds "calibrate a model: state and share of each row" \
        '^batch frame .* % (.* to .*)  by prefill .* %  [nfc][a-z]*, . of .; .* ns; .* GB/s'
else
    echo "left out with RUNNEL_TEST_SHORT: calibrating again, for its table"
fi
cp "$file" kept

# ---- Every choice gives the same bits
changes=('prefetch "L2"' 'huge_pages true' 'block_kib 64' 'prefetch false' 'prefetch true'
    'prefetch "none"' 'prefetch "L1"' 'huge_pages false' 'block_kib 4096')
[ -z "${RUNNEL_TEST_SHORT:-}" ] || changes=("${changes[@]:0:3}")
for change in "${changes[@]}"; do
    with $change
    answer "$change" other
    same "$change"
done

# ---- auto asks the device that was faster, for this model, level and threads, and no other
auto() { # auto NAME THREADS SAID: how often it says that a device is not used
    expect 0 "auto, $1" "$runnel" reply --seed 3 --temp 0.7 --top-k 20 -t "$2" --device auto \
        "${nowhere[@]}" "$question" -o other.wav
    check "auto, $1: told" test "$(grep -c 'is not used.*the CPU computes' err)" = "$3"
    same "auto, $1"
}
cp kept "$file"
auto "nothing faster" 1 0
sed 's/"device":"gpu","stages":\[\]/"device":"gpu:A","stages":["decode"]/' kept > "$file"
auto "a device that has gone" 1 1
auto "other threads" 2 0

# ---- A file of another processor is passed over; a damaged one is named, and nothing else happens
cp kept "$file"
with cpu '"another"'
answer "another processor" other
for text in '{}' '[]' '{"cpu":' '' "$(sed 's/"block_kib":[0-9]*/"block_kib":0/' kept)"; do
    keep "$text"
    refuse 0 "damaged: $text" "$file: .*bench --calibrate" "$runnel" say hello -o a.wav
    answer "damaged, quiet: $text" other
    same "damaged, quiet: $text"
done

# ---- Nowhere to keep it
rm -rf "$XDG_CACHE_HOME"
echo > "$XDG_CACHE_HOME"
refuse 1 "a file where the folder should be" 'tuning.json: cannot be written' \
    "$runnel" bench --calibrate
refuse 1 "no home" 'HOME is not set' env -u XDG_CACHE_HOME -u HOME "$runnel" bench --calibrate
refuse 2 "a level that is not here" z80 "$runnel" bench --calibrate --cpu z80
summary
