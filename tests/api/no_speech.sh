#!/usr/bin/env bash
# No speech, no answer: no_speech.sh PROGRAM SOURCE. Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"

python3 - "$question" <<'PY'
import array, math, random, sys, wave
random.seed(1)
rate, count = 16000, 48000
def save(name, values, rate=rate):
    with wave.open(name + ".wav", "wb") as w:
        w.setparams((1, 2, rate, 0, "NONE", ""))
        w.writeframes(array.array("h", [int(32767 * max(-1, min(1, v))) for v in values]).tobytes())
save("silence", [0.0] * count)
save("noise", [random.gauss(0, 0.1) for _ in range(count)])
save("faint", [random.gauss(0, 0.0005) for _ in range(count)])
save("hum", [0.3 * math.sin(2 * math.pi * 50 * i / rate) for i in range(count)])
save("tone", [0.3 * math.sin(2 * math.pi * 440 * i / 44100) for i in range(count)], 44100)
save("clicks", [0.9 * (i % 8000 == 0) for i in range(count)])
save("short", [0.5] * 800)
with wave.open(sys.argv[1]) as r:
    voice = array.array("h", r.readframes(r.getnframes()))
save("corner", [v / 32768 for v in voice[:1600]])
save("quiet", [v / 32768 / 300 for v in voice])
save("minutes", [random.gauss(0, 0.02) for _ in range(1200 * rate // 4)] * 4)
PY
for name in silence noise faint hum tone clicks short corner; do
    refuse 5 "reply, $name" "$name.wav: there is no speech in it" "$runnel" reply "$name.wav" \
        -o a.wav
    check "reply, $name: no answer" [ ! -s out -a ! -e a.wav ]
done
INPUT=noise.wav refuse 5 "reply, standard input" "standard input: there is no speech" \
    "$runnel" reply - -o a.wav
refuse 5 "reply --json" "no speech" "$runnel" reply --json hum.wav -o a.wav
check "reply --json: nothing" [ ! -s out ]
expect 5 "reply, the second of two" "$runnel" reply -q "$question" noise.wav -o two
check "reply, the second of two: the first is answered" grep -q "kitchen light is on" out
expect 0 "reply, a quiet question" "$runnel" reply -q quiet.wav -o quiet.answer.wav
check "reply, a quiet question: answered" [ -s out ]

refuse 5 "chat MESSAGE" "noise.wav: there is no speech in it" "$runnel" chat -q "@noise.wav"
refuse 5 "chat, one of two" "hum.wav: there is no speech in it" "$runnel" chat -q \
    "@$question @hum.wav"
printf '%s\n' "who are you" "@silence.wav" "what is this @tone.wav" "thank you" > lines
INPUT=lines expect 5 "chat, lines" "$runnel" chat -q --mode text
check "chat, lines: told" [ "$(grep -c 'there is no speech in it' err)" -eq 2 ]
check "chat, lines: the others are answered" [ "$(wc -l < out)" -eq 2 ]
printf '%s\n' "who are you" "thank you" > lines
cp out answers
INPUT=lines expect 0 "chat, the others alone" "$runnel" chat -q --mode text
check "chat, lines: nothing of them stays" cmp out answers

expect 0 "dump takes any sound" "$runnel" dump mel noise.wav -o a.npy
expect 0 "transcribe writes nothing" "$runnel" transcribe -q noise.wav
check "transcribe writes nothing" [ ! -s out ]

# ---- The key of talk, pressed without a word
if python3 - "$runnel" > out 2> err <<'PY'; then pass; else fail "talk, the key"; fi
import os, pty, select, signal, sys, time
signal.alarm(60)
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "talk", "--push-to-talk", "--input", "file:minutes.wav"])
seen, begin, pressed = b"", time.time(), 0
while True:
    ready, _, _ = select.select([terminal], [], [], 0.05)
    try:
        part = os.read(terminal, 4096) if ready else b""
    except OSError:
        break
    if ready and not part:
        break
    seen += part
    if b"listening" in seen and pressed < 40 and time.time() - begin > 0.3 * (pressed + 1):
        os.write(terminal, b" ")
        pressed += 1
    if b"there is no speech in it" in seen:
        os.kill(pid, signal.SIGINT)
        pressed = 40
assert b"there is no speech in it" in seen, seen[-400:]
PY

summary
