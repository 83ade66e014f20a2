#!/usr/bin/env bash
# Adapters: --lora in the commands, merged by convert, from one layout to the other, refused.
# lora.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

base=$source/tests/data/quality/base ids=$source/tests/data/quality/ids.npy
peft=$source/tests/data/lora/adapter file=$source/tests/data/lora/adapter.gguf

# ---- What it says: the goldens' adapter on their base
measure=("$runnel" perplexity -q --exact --json --ids "$ids" --context 32)
measured() { # measured NAME OPTION...
    expect 0 "$1" "${measure[@]}" "${@:2}"
    cp out "$1"
}
measured plain -m "$base"
measured folder -m "$base" --lora "$peft"
measured gguf -m "$base" --lora "$file" -t 3
measured off -m "$base" --lora "$peft:0"
measured whole -m "$base" --lora "$peft:1"
measured halves -m "$base" --lora "$peft:0.5" --lora "$file:0.5"
measured less -m "$base" --lora "$peft:0.5"
check "both layouts say the same" cmp -s folder gguf
check "a scale of 0 is the base" cmp -s plain off
check "1 is the scale that is meant" cmp -s folder whole
for other in plain halves less; do
    if cmp -s folder $other; then fail "$other is as the whole adapter"; else pass; fi
done
near() { # near NAME FILE FILE MOST: mean nll of two reports
    local got
    got=$(python3 -c 'import json, sys
a, b = (json.load(open(f))["nll"] for f in sys.argv[1:3])
print(abs(a - b) <= float(sys.argv[3]))' "$2" "$3" "$4")
    if [ "$got" = True ]; then pass; else fail "$1"; fi
}
near "halves add up" folder halves 1e-5
measured distance -m "$base" --lora "$peft" --kl-base "$base"
if grep -q '"mean": *0[,}]' distance; then fail "no distance from the base"; else pass; fi

# ---- Merged
expect 0 "merge" "$runnel" convert "$base" --lora "$peft" -o merged.gguf
measured merged -m merged.gguf
near "merged" folder merged 1e-5
expect 0 "merge, rounded" "$runnel" convert "$base" --lora "$peft" --type q8_0 -o merged8.gguf
check "what rounding took is told" grep -q 'rounding the merged matrices' err
expect 0 "merge of nothing" "$runnel" convert -q "$base" --lora "$peft:0" -o same.gguf
expect 0 "the base" "$runnel" convert -q "$base" -o base.gguf
check "a scale of 0 merges nothing" cmp -s same.gguf base.gguf

# ---- From one layout to the other
expect 0 "to GGUF" "$runnel" convert "$peft" -o a.gguf
expect 0 "to a folder" "$runnel" convert a.gguf -o back
expect 0 "with its model" "$runnel" convert "$peft" -o b.gguf -m "$base"
check "the same with and without" cmp -s a.gguf b.gguf
same_tensors() {
    python3 - "$1/adapter_model.safetensors" "$2/adapter_model.safetensors" <<'PY'
import json, sys
def read(path):
    raw = open(path, "rb").read()
    size = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:8 + size])
    head.pop("__metadata__", None)
    data = raw[8 + size:]
    return {k: (v["dtype"], v["shape"], data[slice(*v["data_offsets"])]) for k, v in head.items()}
sys.exit(read(sys.argv[1]) != read(sys.argv[2]))
PY
}
check "PEFT -> GGUF -> PEFT" same_tensors "$peft" back
same_settings() {
    python3 - "$1" "$2" <<'PY'
import json, sys
a, b = (json.load(open(f + "/adapter_config.json")) for f in sys.argv[1:3])
keys = ["peft_type", "r", "lora_alpha", "bias", "use_rslora", "use_dora", "task_type",
        "rank_pattern", "alpha_pattern", "base_model_name_or_path"]
sys.exit(any(a[k] != b[k] for k in keys) or
         sorted(a["target_modules"]) != sorted(b["target_modules"]))
PY
}
check "and its settings" same_settings "$peft" back
cp -r "$peft" own
chmod -R u+w own
refuse 2 "over itself" "own" "$runnel" convert own -o own
refuse 2 "of an adapter no type" "--type" "$runnel" convert "$peft" -o x.gguf --type q8_0
refuse 3 "not of that model" "of another model" \
    "$runnel" convert -q "$peft" -o x.gguf -m "$source/tests/data/dense/tied"

# ---- Refused
loaded=("$runnel" perplexity -q --ids "$ids" -m "$base")
refuse 2 "no scale" "scale" "${loaded[@]}" --lora "$peft:much"
refuse 2 "too large a scale" "scale" "${loaded[@]}" --lora "$peft:1001"
refuse 3 "no file" "nowhere" "${loaded[@]}" --lora nowhere
refuse 3 "a model" "no adapter" "${loaded[@]}" --lora "$tiny"
refuse 3 "of another model" "of another model" \
    "$runnel" perplexity -q --ids "$ids" -m "$source/tests/data/dense/tied" --lora "$peft"
sed 's/"use_dora": false/"use_dora": true/' "$peft/adapter_config.json" > own/adapter_config.json
refuse 3 "DoRA" "use_dora" "${loaded[@]}" --lora own
refuse 3 "a rank is no file" "16: cannot be opened" "${loaded[@]}" --lora 16:32

# ---- A model with sound: every command that opens one
python3 "$source/tests/support/make_adapter.py" "$source/tests/data/tiny/config.json" voice
differs() { # differs NAME COMMAND...: stdout with the adapter is another one
    expect 0 "$1" "${@:2}"
    cp out without
    expect 0 "$1 --lora" "${@:2}" --lora voice
    if cmp -s out without; then fail "$1: the adapter changes nothing"; else pass; fi
}
differs chat "$runnel" chat -q -m "$tiny" --json --max-tokens 20 "one two three"
differs reply "$runnel" reply -q -m "$tiny" --json --max-tokens 20 "$question" -o r.wav
differs transcribe "$runnel" transcribe -q -m "$tiny" --json --max-tokens 20 "$question"
# Weights at random: that there is sound is luck, what was emitted counts.
speak=("$runnel" say -q -m "$tiny" --json --max-tokens 20 "one two three." -o s.wav)
"${speak[@]}" > without 2> err
"${speak[@]}" --lora voice > with 2> err
if [ ! -s with ] || cmp -s without with; then fail "say: the adapter changes nothing"; else pass; fi
expect 0 "dump" "$runnel" dump hidden -q -m "$base" --ids "$ids" -o plain.npy
expect 0 "dump --lora" "$runnel" dump hidden -q -m "$base" --ids "$ids" -o lora.npy --lora "$peft"
if cmp -s plain.npy lora.npy; then fail "dump: the adapter changes nothing"; else pass; fi
expect 0 "info" "$runnel" info "$base" --lora "$peft"
holds "info names it" '24  4, .*lora/adapter'
expect 0 "info --json" "$runnel" info "$base" --lora "$peft" --json
holds "info --json" '"matrices": *24'
expect 0 "bench" "$runnel" bench -q -m "$tiny" --work decode --repeat 1 --lora voice
summary
