#!/usr/bin/env bash
# A checkpoint with every shape of LFM2.5-Audio-1.5B: full_size.sh SOURCE BUILD. Made with random
# weights, converted to Q8_0, run for a turn from both. Takes 5 GB under RUNNEL_LONG_FOLDER (/tmp).
set -uo pipefail
source=$1 runnel=$2/runnel
. "$source/tests/support/campaign.sh"
campaign full

python3 "$source/tools/make_random_checkpoint.py" --hf "$work/model" > "$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
check "size of the checkpoint" [ "$(stat -c %s "$work/model/model.safetensors")" -eq 2940723992 ]
check "convert" "$runnel" convert -q "$work/model" -o "$work/q8.gguf" --type q8_0
for model in "$work/q8.gguf" "$work/model"; do
    check "a turn of $(basename "$model")" "$runnel" reply -m "$model" --max-tokens 24 \
        "$source/tests/data/audio/question.wav" -o "$work/answer.wav" > /dev/null
    check "sound" [ -s "$work/answer.wav" ]
    # Peak memory of the turn: the high-water mark of a process that only runs it.
    peak=$(python3 "$source/tests/support/peak.py" "$runnel" reply -q -m "$model" --max-tokens 8 \
        "$source/tests/data/audio/question.wav" -o "$work/answer.wav")
    peak=$((peak / 1024))
    size=$(du -smL "$model" | cut -f1)
    echo "$(basename "$model"): $size MiB of files, $peak MiB at most"
    check "memory" [ "$peak" -le $((size + 300)) ]
done
"$runnel" bench -m "$work/q8.gguf" --repeat 3
campaign_summary
