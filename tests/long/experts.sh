#!/usr/bin/env bash
# A file with every shape of LFM2-8B-A1B, Q4_0, random weights: experts.sh SOURCE BUILD. Memory of a
# session of 4,096 positions, from the file and from a packed bundle, and, where the peer is built
# (tools/compare/build_peer.sh; RUNNEL_PEER names another llama-bench), the speed beside it on the
# same file in turn. Wants a quiet machine. Takes 10 GB under RUNNEL_LONG_FOLDER (/tmp).
set -uo pipefail
source=$1 runnel=$2/runnel
peer=${RUNNEL_PEER:-/tmp/runnel-peer/native/bin/llama-bench}
. "$source/tests/support/campaign.sh"
campaign experts
at_least() { # at_least FIGURE BOUND
    python3 -c 'import sys; sys.exit(float(sys.argv[1]) < float(sys.argv[2]))' "$1" "$2"
}

file=$work/8b-q4_0.gguf packed=$work/8b-packed.gguf
python3 "$source/tools/make_random_checkpoint.py" --moe 8b --type q4_0 -o "$file" || exit 1
check "convert --pack" "$runnel" convert -q "$file" --pack avx512 -o "$packed"
check "a set of the same bytes" "$runnel" convert -q "$file" --format set -o "$work/again.gguf"
check "as long" [ "$(stat -c %s "$work/again.gguf")" -le $(($(stat -c %s "$file") + 100000)) ]
rm "$work/again.gguf"
for model in "$file" "$packed"; do
    # Every expert is read: 512 positions choose them all.
    peak=$(python3 "$source/tests/support/peak.py" "$runnel" bench -q --json --work prefill,decode \
        --tokens 512 --depth 0 --repeat 1 -m "$model")
    peak=$((peak / 1024 - 256)) # less the buffer of the limits
    size=$(du -smL "$model" | cut -f1)
    echo "$(basename "$model"): $size MiB of file, $peak MiB at most"
    check "memory" [ "$peak" -le $((size + 300)) ]
done
if [ -x "$peer" ]; then
    table=$(python3 "$source/tools/compare/compare.py" --runnel "$runnel" --peer "$peer" \
        --prefill 512 --depth 0 --log "$work/log" "$file")
    echo "$table"
    ratio() { grep "| $1" <<< "$table" | cut -d'|' -f6; }
    check "decoding, 1.2 times the peer" at_least "$(ratio "decode 32")" 1.2
    check "prefill of 512, 1.5 times the peer" at_least "$(ratio "prefill 512")" 1.5
else
    echo "$peer is not there: speeds are not compared"
    "$runnel" bench -m "$file" --work prefill,decode,experts --repeat 3
fi
campaign_summary
