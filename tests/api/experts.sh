#!/usr/bin/env bash
# Mixtures of experts at the command line: dump of raw ids against the reference; info, convert,
# bench.
# experts.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

data=$source/tests/data/moe
for one in "fused fused/expect" "moe-Q4_0.gguf expect-Q4_0" "moe-Q4_K.gguf expect-Q4_K"; do
    read -r name expected <<< "$one"
    for stage in backbone.1 backbone.2 experts.1 experts.2 hidden logits greedy; do
        expect 0 "dump $stage of $name" "$runnel" dump "$stage" -q -m "$data/$name" \
            --ids "$data/$expected/ids.npy" -o "$stage.npy"
    done
    expect 0 "$name against the reference" python3 "$source/tests/api/check_ids.py" . \
        "$data/$expected"
    grep FAILED out
done
ids=$data/expect-Q4_0/ids.npy
moe=$data/moe-Q4_0.gguf
expect 0 "a dense model" "$runnel" dump greedy -q --count 3 -m "$source/tests/data/dense/tied" \
    --ids "$source/tests/data/dense/tied/expect/prompt0/ids.npy" -o three.npy
check "three tokens" grep -q "'shape': (3,)" three.npy

# ---- What is wrong is said in a sentence
dump=("$runnel" dump -q -m "$moe")
refuse 2 "a stage of sounds" "no stage of ids" "${dump[@]}" mel --ids "$ids" -o x.npy
refuse 2 "a stage of ids" "want --ids" "${dump[@]}" greedy "$question" -o x.npy
refuse 2 "a sound beside ids" "name a stage" "${dump[@]}" hidden "$question" --ids "$ids" -o x.npy
refuse 2 "a layer without experts" "no such layer" "${dump[@]}" experts.0 --ids "$ids" -o x.npy
refuse 5 "no file of ids" "nowhere.npy: No such" "${dump[@]}" hidden --ids nowhere.npy -o x.npy
refuse 5 "no array" "no .npy file" "${dump[@]}" hidden --ids "$question" -o x.npy
refuse 5 "floats" "no int32" "${dump[@]}" hidden --ids "$data/expect-Q4_0/logits.npy" -o x.npy
refuse 5 "two dimensions" "one dimension" \
    "${dump[@]}" hidden --ids "$data/expect-Q4_0/layer1_experts.npy" -o x.npy
head -c 200 "$ids" > cut.npy
refuse 5 "a cut array" "as many numbers" "${dump[@]}" hidden --ids cut.npy -o x.npy
python3 - "$ids" <<'PY'
import struct, sys
whole = open(sys.argv[1], "rb").read()
open("high.npy", "wb").write(whole[:-4] + struct.pack("<i", 256))
open("low.npy", "wb").write(whole[:-4] + struct.pack("<i", -1))
head = whole[:128].replace(b"<i4", b"<i8")
open("wide.npy", "wb").write(
    head + b"".join(whole[i:i + 4] + b"\0" * 4 for i in range(128, len(whole), 4)))
PY
for name in high low; do
    refuse 5 "an id that is $name" "number 43 is no id" "${dump[@]}" hidden --ids $name.npy -o x.npy
done
check "refusals leave no file" [ ! -e x.npy ]
expect 0 "int64" "${dump[@]}" hidden --ids wide.npy -o wide-hidden.npy
expect 0 "int32" "${dump[@]}" hidden --ids "$ids" -o hidden.npy
check "the same" cmp -s wide-hidden.npy hidden.npy

# ---- The other commands
expect 0 "info" "$runnel" info "$moe"
holds "info: experts" "experts *8 in each of 2 layers, of width 64, 3 for a token"
holds "info: dense" "feed-forward 160 in 1 layers"
expect 0 "info --json" "$runnel" info --json "$data/fused"
holds "info --json: experts" '"experts": *{"count": *8, *"used": *3, *"width": *48, *"layers": *2}'
expect 0 "convert" "$runnel" convert -q "$data/fused" --format set --type q8_0 -o q8.gguf
expect 0 "info of it" "$runnel" info q8.gguf
holds "its types" "Q8_0"
expect 0 "convert --pack" "$runnel" convert -q "$moe" --pack avx512 -o packed.gguf
expect 0 "info of a packed one" "$runnel" info packed.gguf
holds "its experts" "8 in each of 2 layers"
expect 0 "bench" "$runnel" bench --work experts --tokens 1,40 --repeat 1 -m packed.gguf
holds "bench: experts" "^experts .* 40 "
refuse 2 "bench of a dense model" "no part for 'experts'" "$runnel" bench --work experts -m "$model"
summary
