#!/usr/bin/env bash
# samples/kiosk.c: kiosk.sh PROGRAM SOURCE. A question in a file gets its answer in a file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
model=$2/samples/minnow/minnow.gguf
fail() { echo "$*"; cat "$folder/log"; echo "0 passed, 1 failed"; exit 1; }
python3 - "$2/samples/questions/light.wav" "$folder/in.wav" <<'PYTHON'
import sys, wave
with wave.open(sys.argv[1]) as question, wave.open(sys.argv[2], "wb") as out:
    out.setparams(question.getparams())
    out.writeframes(bytes(32000) + question.readframes(question.getnframes()) + bytes(32000))
PYTHON
"$1" "$model" "$folder/in.wav" "$folder/out.wav" > "$folder/log" || fail "exit code $?"
grep -q "turn: The kitchen light is on.$" "$folder/log" || fail "no answer"
for event in listening suspected hearing end-guessed thinking speaking; do
    grep -q " $event$" "$folder/log" || fail "no event $event"
done
# The answer can be heard in the file: more than a second of it is not silent.
python3 - "$folder/out.wav" <<'PYTHON' || fail "nothing was said"
import array, sys, wave
with wave.open(sys.argv[1]) as out:
    samples = array.array("h", out.readframes(out.getnframes()))
blocks = [max(map(abs, samples[i:i + 160])) for i in range(0, len(samples), 160)]
sys.exit(sum(loud > 100 for loud in blocks) < 80)
PYTHON
[ "$(wc -l < "$2/samples/kiosk.c")" -lt 130 ] || fail "kiosk.c has 130 lines or more"
echo "1 passed, 0 failed"
