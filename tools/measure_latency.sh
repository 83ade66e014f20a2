#!/usr/bin/env bash
# Voice to voice, part by part: measure_latency.sh BUILD_FOLDER [ROUNDS] [talk options].
# All questions of samples/questions, with pauses, as the microphone of the file device, whose clock
# is charged with the computing as it is measured. Once with speculation and once without; prints
# the last lines of `runnel trace`. RUNNEL_TRACES=FOLDER adds the turns of both to FOLDER/with.jsonl
# and without.jsonl. Used for docs/LATENCY.md.
set -euo pipefail
build=$(realpath "$1") rounds=${2:-2}
shift $(($# > 1 ? 2 : 1))
source=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$source/samples/questions" "$work/in.wav" "$rounds" <<'PYTHON'
import array, glob, random, sys, wave
random.seed(1)
sound = array.array("h", [0] * 16000)
for path in sorted(glob.glob(f"{sys.argv[1]}/*.wav")) * int(sys.argv[3]):
    with wave.open(path) as f:
        sound.frombytes(f.readframes(f.getnframes()))
    sound.extend([0] * (5 * 16000 + random.randrange(512)))  # anywhere in a block
sound = array.array("h", (max(-32768, min(32767, x + random.randint(-16, 16))) for x in sound))
with wave.open(sys.argv[2], "wb") as f:
    f.setnchannels(1), f.setsampwidth(2), f.setframerate(16000)
    f.writeframes(sound.tobytes())
PYTHON
for how in "" --no-speculation; do
    # shellcheck disable=SC2086
    "$build/runnel" talk --quiet --input "file:$work/in.wav" --trace "$work/trace.jsonl" $how "$@" \
        > "$work/said"
    echo "${how:-with speculation}: $(wc -l < "$work/trace.jsonl") turns"
    if [ -n "${RUNNEL_TRACES:-}" ]; then
        cat "$work/trace.jsonl" >> "$RUNNEL_TRACES/with${how:+out}.jsonl"
    fi
    "$build/runnel" trace --quiet "$work/trace.jsonl" -o "$work/t.svg" |
        sed -e 's/  heard.*//' -n -e '1p' -e '/^p50/p' -e '/^p95/p' -e '/^max/p'
done
