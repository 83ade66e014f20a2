#!/usr/bin/env bash
# `runnel dump`: every stage against the reference and against reply --json. dump.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

folder=$source/tests/data/tiny
python3 - "$source/tests/data/audio/question.wav" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as whole, wave.open("a.wav", "wb") as clip: # clip A: two seconds
    clip.setparams(whole.getparams())
    clip.writeframes(whole.readframes(32000))
PY
greedy=(-q -m "$folder" --exact --temp 0 --audio-temp 0 --max-tokens 40)
expect 0 "reply" "$runnel" reply "${greedy[@]}" --json a.wav -o reply.wav
cp out reply.json
for stage in mel subsampling encoder.{0..2} adapter embeddings backbone.{0..5} hidden logits \
    depth.{0..7} spectrum samples; do
    expect 0 "dump $stage" "$runnel" dump "$stage" "${greedy[@]}" a.wav -o "$stage.npy"
done
expect 0 "against the reference" python3 "$source/tests/api/check_dump.py" . "$source/tests/data"
grep FAILED out

# ---- Names that are no stage are told before anything is computed
for stage in nothing encoder encoder. encoder.x encoder.-1 encoder.12345 mel.0 samples.1 ''; do
    refuse 2 "dump '$stage'" "is no stage" "$runnel" dump "$stage" nowhere.wav -o x.npy
done
refuse 2 "a layer that is not there" "no such layer" \
    "$runnel" dump encoder.3 "${greedy[@]}" a.wav -o x.npy
refuse 2 "no target" "with -o" "$runnel" dump mel a.wav
refuse 5 "no input" "nowhere.wav" "$runnel" dump mel nowhere.wav -o x.npy
refuse 1 "no folder for the target" "No such file" "$runnel" dump mel a.wav -o no/folder/x.npy
check "refusals leave no file" [ ! -e x.npy ]

summary
