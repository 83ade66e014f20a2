#!/usr/bin/env bash
# Makes the spoken questions of samples/questions and their list. Debian packages: flite python3.
# flite speaks at 16 kHz, 16 bit, mono. As in the training of minnow (tools/train/synth.py) a clip
# is cut to 80 ms around the speech and brought to a peak of 0.7. Every run gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/../samples/questions"

# name | flite voice | what is said
questions='sum|slt|What is twenty seven plus fifteen?
sum-new|rms|What is twenty minus fifteen?
light|awb|Turn on the kitchen light.
heating|slt|Heat the bedroom to twenty one degrees.
window|rms|Open the window.
music|awb|Play classical music.
timer|slt|Set a timer for twelve minutes.
route|kal16|Navigate to the airport.
weather|rms|How is the weather in Vienna today?
hours|slt|When do you open on Saturday?
elevator|awb|Where is the elevator?
who|rms|Who are you?'

prepare() { # prepare IN.wav OUT.wav
    python3 - "$1" "$2" <<'EOF'
import array, sys, wave
with wave.open(sys.argv[1]) as file:
    assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
    samples = array.array("h", file.readframes(file.getnframes()))
loud = [i for i, sample in enumerate(samples) if abs(sample) > 0.004 * 32768]
samples = samples[max(0, loud[0] - 1280):loud[-1] + 1280]
gain = 0.7 * 32767 / max(map(abs, samples))
samples = array.array("h", (round(sample * gain) for sample in samples))
with wave.open(sys.argv[2], "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(samples.tobytes())
EOF
}

spoken=$(mktemp --suffix=.wav)
trap 'rm -f "$spoken"' EXIT
: >questions.txt
while IFS='|' read -r name voice text; do
    flite -voice "$voice" -t "$text" -o "$spoken"
    prepare "$spoken" "$name.wav"
    printf '%s\t%s\n' "$name" "$text" >>questions.txt
done <<<"$questions"
