#!/usr/bin/env bash
# Perplexity by each convention and divergence, against the reference; texts, files, refusals.
# quality.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

data=$source/tests/data/quality ids=$source/tests/data/quality/ids.npy
measure=("$runnel" perplexity -q --exact --json)
# measured NAME OPTION...: the object goes to NAME.
measured() {
    expect 0 "$1" "${measure[@]}" "${@:2}"
    cp out "$1"
}
base=(-m "$data/base" --ids "$ids" --context 32)
measured chunks "${base[@]}"
for stride in 16 32; do
    measured "strided_$stride" "${base[@]}" --stride $stride
    measured "strided_${stride}_document" "${base[@]}" --stride $stride --hf-weights
done
measured rolling "${base[@]}" --rolling
measured kl_model -m "$data/quantised" --ids "$ids" --context 32 --kl-base "$data/base"
measured saving "${base[@]}" --save-logits logits
check "--save-logits changes nothing" cmp -s saving chunks
measured kl_file -m "$data/quantised" --kl-base logits
expect 0 "against the reference" python3 "$source/tests/api/check_quality.py" \
    "$data/expect.json" .
grep FAILED out

# ---- Laws
value() { # value FILE EXPRESSION: of the object o in it
    python3 -c 'import json, sys; o = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"
}
is() { # is NAME FILE EXPRESSION
    local got
    got=$(value "$2" "$3" 2>> err)
    if [ "$got" = True ]; then pass; else fail "$1: $3 is $got"; fi
}
measured threads "${base[@]}" -t 3 --stride 16
check "threads change no bit" cmp -s threads strided_16
measured itself "${base[@]}" --kl-base "$data/base"
is "a model is 0 from itself" itself \
    "o['kl']['mean'] == o['kl']['maximum'] == o['kl']['ln_ratio'] == 0 and o['kl']['same_top'] == 1"
measured kept "-m" "$data/base" --kl-base logits
is "and next to nothing from its file" kept \
    "-1e-6 < o['kl']['mean'] < 2e-6 and o['kl']['maximum'] < 1e-4 and o['kl']['same_top'] == 1"
measured two "${base[@]}" --chunks 2
is "--chunks" two "o['runs'] == 2 and o['scored'] == 30"
measured bos "${base[@]}" --rolling --harness-bos
is "--harness-bos scores one more" bos "o['scored'] == 293"
# The file is the one that llama-perplexity knows.
is_file() { python3 - <<'PY'
import struct
raw = open("logits", "rb").read()
assert raw[:8] == b"_logits_" and struct.unpack("<3i", raw[8:20]) == (32, 96, 9)
assert struct.unpack("<3i", raw[20:32])[0] == 1 and len(raw) == 20 + 9 * (32 * 4 + 15 * 2 * 100)
PY
}
check "the file's layout" is_file

# ---- Texts: what minnow hears and says
python3 - <<'PY'
lines = ["Turn on the kitchen light.", "What is two plus three?", "Who are you?",
         "Caf\u00e9\u00a0noir."]
text = "".join(f"<|im_start|>user\n{lines[i % 4]}<|im_end|>\n" for i in range(40))
open("talk", "w", encoding="utf-8").write("\ufeff" + text)
open("half", "w", encoding="utf-8").write(text[:1000])
PY
minnow=(-m "$model" --context 64)
measured text "${minnow[@]}" -f talk
is "bits per byte" text "0 < o['bits_per_byte'] < 16 and o['context'] == 64"
measured twice "${minnow[@]}" --rolling talk half
measured once "${minnow[@]}" --rolling -f talk
measured alone "${minnow[@]}" --rolling -f half
added=$(($(value once "o['scored']") + $(value alone "o['scored']")))
check "several texts add up" [ "$(value twice "o['scored']")" -eq "$added" ]
is "of words and bytes" once "o['word_perplexity'] > o['byte_perplexity'] > 1"
words() { python3 - <<'PY'
import json, math, re
o, text = json.load(open("once")), open("talk", encoding="utf-8-sig").read()
words = len(re.split(r"\s+", text))
assert abs(o["word_perplexity"] / math.exp(-o["log_likelihood"] / words) - 1) < 1e-9
size = len(text.encode())
assert abs(o["bits_per_byte"] / (-o["log_likelihood"] / size / math.log(2)) - 1) < 1e-9
PY
}
check "as the harness counts them" words
INPUT=talk expect 0 "standard input" "${measure[@]}" "${minnow[@]}" -f -
check "standard input: the same" cmp -s out text
expect 0 "for people" "$runnel" perplexity "${minnow[@]}" -f talk --kl-base "$model"
holds "for people: running" '^\[1\][0-9.]*,\[2\]'
holds "for people: with its error" '^perplexity  *[0-9.]* ± [0-9.]*$'
holds "for people: divergence" '^KL divergence  *0.000000'
expect 0 "far from the base" "$runnel" perplexity -m "$data/quantised" --ids "$ids" --context 32 \
    --kl-base "$data/base"
check "far from the base: a warning" grep -q "above 0.1" err

# ---- What is wrong is said in a sentence
refused=("$runnel" perplexity -q)
refuse 2 "no text" "give one text" "${refused[@]}" -m "$model"
refuse 2 "two texts" "only with --rolling" "${refused[@]}" -f talk half
refuse 2 "two conventions" "two conventions" "${refused[@]}" -f talk --rolling --stride 4
refuse 2 "chunks of windows" "--chunks" "${refused[@]}" -f talk --stride 4 --chunks 2
refuse 2 "weights of nothing" "wants --stride" "${refused[@]}" -f talk --hf-weights
refuse 2 "a stride too long" "would not be scored" "${refused[@]}" "${base[@]}" --stride 33
refuse 2 "a text beside its tokens" "leave -f" "${refused[@]}" "${base[@]}" --kl-base logits
refuse 2 "a conversation of 32" "from 64 to" "$runnel" chat --context 32 hello
refuse 5 "too short" "fewer than twice 512" "${refused[@]}" -m "$data/base" --ids "$ids"
refuse 5 "no such text" "nowhere: cannot be read" "${refused[@]}" -f nowhere
printf 'caf\351' > latin
refuse 5 "no UTF-8" "not valid UTF-8" "${refused[@]}" -f latin
: > empty
refuse 5 "no text in it" "no text in it" "${refused[@]}" -f empty
refuse 3 "no vocabulary" "no vocabulary" "${refused[@]}" -m "$data/base" -f talk
refuse 5 "ids of another model" "no id of this model" "${refused[@]}" -m "$data/base" --ids \
    "$source/tests/data/moe/expect-Q4_0/ids.npy" --rolling
refuse 5 "a base of another vocabulary" "vocabulary of" "${refused[@]}" "${base[@]}" \
    --kl-base "$model"
refuse 5 "a file of another vocabulary" "vocabulary of 96" "${refused[@]}" -m "$model" \
    --kl-base logits
refuse 1 "no folder" "No such file" "${refused[@]}" "${base[@]}" --save-logits no/folder
cp talk kept.talk
refuse 2 "over its own text" "reads this very file" "${refused[@]}" "${minnow[@]}" -f talk \
    --save-logits talk
check "over its own text: it stays" cmp -s talk kept.talk
head -c 1000 logits > cut
cat logits empty > long && printf x >> long
python3 - <<'PY'
import struct
raw = bytearray(open("logits", "rb").read())
def damaged(name, at, value):
    copy = bytearray(raw)
    copy[at:at + len(value)] = value
    open(name, "wb").write(copy)
damaged("token", 24, struct.pack("<i", 96))
damaged("negative", 8, struct.pack("<i", -1))
damaged("huge", 16, struct.pack("<i", 2**31 - 1))
damaged("infinite", 20 + 9 * 32 * 4, struct.pack("<f", float("inf")))
PY
for bad in cut long; do
    refuse 5 "a file that is $bad" "its head says" "${refused[@]}" -m "$data/base" --kl-base $bad
done
refuse 5 "a token beyond" "token 1 is 96" "${refused[@]}" -m "$data/base" --kl-base token
refuse 5 "a window below 0" "no file of --save" "${refused[@]}" -m "$data/base" --kl-base negative
refuse 5 "chunks beyond" "no file of --save" "${refused[@]}" -m "$data/base" --kl-base huge
refuse 5 "a row that is infinite" "not finite" "${refused[@]}" -m "$data/base" --kl-base infinite
check "refusals leave no file" [ -z "$(find . -name 'no' -o -name '*.tmp*')" ]

summary
