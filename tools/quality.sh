#!/usr/bin/env bash
# What quantising costs a model: it is converted to each type, and its distribution on a text is
# compared with that of the model as it is. A table in Markdown on standard output.
#
#     quality.sh MODEL [TEXT [TYPE ...]]
#
# Without TEXT: conversations of minnow's domain that it was not trained with. RUNNEL names the
# program (default: build/release/runnel of this tree), CONTEXT the tokens of a chunk (512).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
model=${1:?quality.sh MODEL [TEXT [TYPE ...]]} text=${2:-}
types=("${@:3}")
[ ${#types[@]} -gt 0 ] || types=(q8_0 q6_k q4_k_m q4_0)
runnel=${RUNNEL:-$root/build/release/runnel}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "$text" ]; then
    text=$work/text
    python3 - "$root/tools/train" > "$text" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import corpus
_, unheard = corpus.split()
for _, question, answer in unheard:
    print(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>")
PY
fi

echo "| type | backbone MB | perplexity | mean KL | KL of 99 % | same best token |"
echo "|---|---|---|---|---|---|"
for type in keep "${types[@]}"; do
    made=$work/made.gguf
    "$runnel" convert -q "$model" -o "$made" --type "$type"
    "$runnel" perplexity -q --json --context "${CONTEXT:-512}" -m "$made" -f "$text" \
        --kl-base "$model" > "$work/measured"
    "$runnel" info --json "$made" > "$work/info"
    python3 - "$type" "$work" <<'PY'
import json, sys
name, work = sys.argv[1:]
o, size = json.load(open(work + "/measured")), json.load(open(work + "/info"))
kl = o["kl"]
print(f"| {name} | {size['parts']['backbone']['bytes'] / 1e6:.1f} "
      f"| {o['perplexity']:.4f} ± {o['error']:.4f} | {kl['mean']:.6f} ± {kl['error']:.6f} "
      f"| {kl['p99']:.5f} | {100 * kl['same_top']:.2f} ± {100 * kl['same_top_error']:.2f} % |")
PY
done
