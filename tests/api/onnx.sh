#!/usr/bin/env bash
# Graphs of ONNX by ONNX Runtime's own CPU provider: onnx.sh PROGRAM SOURCE CHECK FOLDER. ONNX
# Runtime is kept in FOLDER (support/onnxruntime.sh); without PyPI that half is skipped.
checker=$(realpath "$3") kept=$(realpath "$4")
. "$(dirname "$0")/common.sh"
. "$source/tests/support/onnxruntime.sh"
data=$source/tests/data

# --- What convert writes and refuses ---
expect 0 "written" "$runnel" convert -q --onnx graphs --context 64 "$tiny"
for file in backbone-1.onnx backbone-32.onnx backbone-128.onnx backbone.weights \
    depthformer-1.onnx depthformer.weights encoder-104.onnx encoder-208.onnx encoder-408.onnx \
    encoder-808.onnx encoder.weights onnx.json; do
    check "$file is there" test -s "graphs/$file"
done
check "nothing else" test "$(find graphs -type f | wc -l)" -eq 12
check "the description is JSON" python3 -c 'import json; d = json.load(open("graphs/onnx.json"))
assert d["backbone"]["past"] == 64 and d["depthformer"]["past"] == 8, d'
expect 0 "written again" "$runnel" convert -q --onnx graphs --context 64 "$tiny"
refuse 2 "with a type" "with --onnx" "$runnel" convert --onnx more --type q4_0 "$tiny"
refuse 2 "with a target" "with --onnx" "$runnel" convert --onnx more -o a.gguf "$tiny"
expect 0 "another type" "$runnel" convert -q "$tiny" --type q4_1 -o mixed.gguf
refuse 3 "a type without a form" "is Q4_1, which ONNX has no form for" \
    "$runnel" convert --onnx more mixed.gguf
expect 3 "experts" "$runnel" convert --onnx more "$data/moe/moe-Q4_0.gguf"
check "experts are told" grep -q "feed-forward part of layer 1 is experts" err
check "no folder left" test ! -e more
refuse 1 "no folder to write to" "cannot be made" "$runnel" convert --onnx /none/a "$tiny"
touch file
refuse 1 "a file for a folder" "Not a directory" "$runnel" convert --onnx file "$tiny"

# --- What ONNX Runtime makes of it ---
count() { # what became of it, for device_tests_counted
    echo "onnx: npu: $1"
    [ -z "${RUNNEL_DEVICE_COUNT:-}" ] || echo "$1" > "$RUNNEL_DEVICE_COUNT/npu.onnx"
}
if onnxruntime_files "$kept" onnxruntime; then
    library=$(echo "$files"/onnxruntime/capi/libonnxruntime.so.*)
    expect 0 "goldens by ONNX Runtime" "$checker" "$library"
    holds "tests of devices that ran" "^12 device tests ran$"
    grep -E "rms|Provider" out
    count "ran $(sed -n 's/ device tests ran$//p' out)"
    expect 0 "devices" "$runnel" devices --compute --device-set "onnxruntime=$library"
    holds "devices" "CPUExecutionProvider"
    ask=(reply -q -m "$model" --exact --device npu:CPUExecutionProvider
        --device-set "onnxruntime=$library" "$question")
    expect 0 "a turn of the CPU" "$runnel" reply -q --json -m "$model" --exact "$question" -o a.wav
    cp out cpu.json
    expect 0 "a turn" "$runnel" "${ask[@]}" --json -o b.wav
    check "nothing was refused" test ! -s err
    check "each text token and each frame is the CPU's" python3 -c 'import json
a, b = json.load(open("cpu.json")), json.load(open("out"))
assert a["frames"] and all(a[k] == b[k] for k in ("text", "text_tokens", "frames")), b["text"]'
    mkdir cache
    for time in first second; do
        expect 0 "with a cache, the $time time" "$runnel" "${ask[@]}" --device-set cache=cache
        holds "with a cache, the $time time" "^The kitchen light is on.$"
    done
    check "graphs are kept" test "$(find cache -name 'graph-1.onnx' | wc -l)" -ge 2
else
    count "skipped: ONNX Runtime cannot be had from PyPI"
fi
summary
