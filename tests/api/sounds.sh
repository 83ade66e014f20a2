#!/usr/bin/env bash
# Sounds as people have them: sounds.sh PROGRAM SOURCE. Nothing of one is left out in silence; what
# is missing is told, in every format, and remembered. tests/data/audio-cases has an input for each
# kind of fault; others are made here. Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"
cases=$source/tests/data/audio-cases
light="Turn on the kitchen light."
weather="How is the weather in Vienna today?"
transcribe() { "$runnel" transcribe -q "$@"; }
says() { check "$1" [ "$(cat out)" = "$2" ]; } # says NAME TEXT: all of stdout
count() { check "$1" [ "$(wc -l < out)" -eq "$2" ]; } # count NAME LINES
told() { # told NAME PATTERN COUNT: so many sentences on stderr, all of the pattern
    check "$1" [ "$(grep -c "^runnel: .*$2" err)" -eq "$3" ]
    check "$1: no other" [ "$(grep -c '^runnel: ' err)" -eq "$3" ]
}
cues() { # cues NAME FILE SECONDS...: where its subtitles begin, to 0.15 s
    if python3 - "${@:2}" 2> err <<'PY'; then pass; else fail "$1"; fi
import re, sys
times = [int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1000 for h, m, s, ms in
         re.findall(r"(\d+):(\d+):(\d+)[,.](\d+) -->", open(sys.argv[1]).read())]
want = [float(t) for t in sys.argv[2:]]
assert len(times) == len(want) and all(abs(a - b) < 0.15 for a, b in zip(times, want)), times
PY
}

# ---- A stated length is a claim
expect 0 "joined MP3" transcribe "$cases/joined-three.mp3"
count "joined MP3: three sentences" 3
holds "joined MP3: the second" "$weather"
expect 0 "joined Vorbis" transcribe "$cases/joined-three-vorbis.ogg"
count "joined Vorbis: three sentences" 3
holds "joined Vorbis: the last" "Set a timer for twelve minutes."
told "joined Vorbis: no fault" "" 0
expect 0 "MP3 without notes" transcribe "$cases/vbr-without-xing.mp3"
count "MP3 without notes: seven sentences" 7
expect 0 "a recorder that died" transcribe "$cases/recorder-died.wav"
says "a recorder that died" "$light"
for name in light weather; do cp "$source/samples/questions/$name.wav" .; done
python3 - <<'PY' # and with a pause behind it, so that joined ones are two sentences
import wave
with wave.open("light.wav") as w, wave.open("pause.wav", "wb") as out:
    out.setparams(w.getparams())
    out.writeframes(w.readframes(w.getnframes()) + bytes(2 * 24000))
PY
cat pause.wav weather.wav > joined.wav
expect 0 "joined WAV" transcribe joined.wav
says "joined WAV" "$light
$weather"
python3 - <<'PY'
data = open("weather.wav", "rb").read()
at = data.index(b"data")
open("died.wav", "wb").write(data[:4] + bytes(4) + data[8:at + 4] + bytes(4) + data[at + 8:])
open("wrapped.wav", "wb").write(data[:at + 4] + b"\xe8\x03\0\0" + data[at + 8:])
open("open.wav", "wb").write(data[:at + 4] + b"\xff\xff\xff\xff" + data[at + 8:])
rf64 = b"RF64\xff\xff\xff\xffWAVEds64" + (28).to_bytes(4, "little") + bytes(28)
open("unfinished.wav", "wb").write(rf64 + data[12:at + 4] + b"\xff\xff\xff\xff" + data[at + 8:])
open("cut.wav", "wb").write(data[:-20000])
PY
for name in died wrapped open unfinished; do
    expect 0 "$name" transcribe "$name.wav"
    says "$name" "$weather"
    told "$name: no fault" "" 0
done
expect 5 "cut off" transcribe cut.wav
told "cut off: told" "cut.wav: the recording is cut off: it ends at 1.79 s of 2.41 s" 1

# ---- What standard input and pipes carry
for name in no-id3.mp3 speech.au; do
    expect 0 "$name through a pipe" bash -c 'cat "$2" | "$1" transcribe -q -' _ "$runnel" \
        "$cases/$name"
    says "$name through a pipe" "$light"
done
expect 0 "a named pipe" bash -c '"$1" transcribe -q <(cat "$2")' _ "$runnel" light.wav
says "a named pipe" "$light"
INPUT=light.wav expect 0 "/dev/stdin" transcribe /dev/stdin
says "/dev/stdin" "$light"
INPUT=$cases/ulaw-8k.wav expect 0 "mu-law as standard input" transcribe -
says "mu-law as standard input" "$light"
head -c 4000 "$runnel" > unknown
refuse 5 "an unknown head" "--raw-rate, --raw-channels or --raw-format" \
    bash -c 'cat unknown | "$1" transcribe -q -' _ "$runnel"
INPUT=unknown refuse 5 "an unknown file as standard input" "--raw-rate" transcribe -
python3 - light.wav "$source/samples/questions/weather.wav" <<'PY'
import array, sys, wave
both = [array.array("h", wave.open(name).readframes(1 << 24)) for name in sys.argv[1:]]
count = max(map(len, both))
left, right = (one + array.array("h", [0]) * (count - len(one)) for one in both)
frames = array.array("h", [x for pair in zip(left, right) for x in pair])
with wave.open("two.wav", "w") as f:
    f.setparams((2, 2, 16000, 0, "NONE", ""))
    f.writeframes(frames.tobytes())
PY
tail -c +45 two.wav > two.raw
expect 0 "--per-channel of a file" transcribe --per-channel two.wav
sed 's/^[^ ]* //' out > two.txt # without its name
check "--per-channel of a file: two" [ "$(wc -l < two.txt)" -eq 2 ]
check "--per-channel of a file: both" grep -q "^(channel 2): .*Vienna" two.txt
for kind in 'cat two.wav | "$1" transcribe -q --per-channel -' \
    '"$1" transcribe -q --per-channel <(cat two.wav)' \
    '"$1" transcribe -q --per-channel - < two.wav' \
    'cat two.raw | "$1" transcribe -q --per-channel --raw-channels 2 -'; do
    expect 0 "$kind" bash -c "$kind" _ "$runnel"
    check "$kind: the same" diff <(sed 's/^[^ ]* //' out) two.txt
done
refuse 5 "--per-channel of an unknown head" "standard input" \
    bash -c 'cat unknown | "$1" transcribe -q --per-channel -' _ "$runnel"
refuse 5 "--per-channel of nothing" "standard input: there is no sound in it" \
    bash -c '"$1" transcribe -q --per-channel - < /dev/null' _ "$runnel"

# ---- Damage costs its place, is told everywhere, and is remembered
mkdir in && cp "$cases/hole.mp3" light.wav in/
place="the sound is damaged from 7.09 s to 7.49 s"
expect 5 "a hole" transcribe --output-dir out.d --output-format srt,vtt,json,jsonl,txt in
told "a hole: told once" "hole.mp3: $place" 1
check "a hole: both sides" [ "$(wc -l < out.d/hole.txt)" -eq 7 ]
check "a hole: the clean one" [ "$(cat out.d/light.txt)" = "$light" ]
cues "a hole: times" out.d/hole.srt 0.09 2.99 6.76 10.63 13.9 16.98
check "a hole: NOTE" grep -qx "NOTE damaged from 00:00:07.095 to 00:00:07.491" out.d/hole.vtt
check "a hole: JSON" python3 - <<'PY'
import json
whole, lines = json.load(open("out.d/hole.json")), [json.loads(l) for l in open("out.d/hole.jsonl")]
assert whole["damaged"] == [[7.095, 7.491]] == lines[-1]["damaged"], whole["damaged"]
assert "text" in lines[0] and "damaged" not in lines[0] and len(lines) == 8
assert "damaged" not in json.load(open("out.d/light.json"))
marks = {r["input"]: r.get("damaged") for r in map(json.loads, open("out.d/runnel-manifest.jsonl"))}
assert marks == {"in/hole.mp3": True, "in/light.wav": None}, marks
PY
expect 5 "a hole: --json" transcribe --json "$cases/hole.mp3"
check "a hole: --json" grep -q '"damaged":\[\[7.095,7.491\]\]' out
formats="--output-dir out.d --output-format srt,vtt,json,jsonl,txt"
touch -d 2001-01-01 out.d/*.txt
# shellcheck disable=SC2086 # words
expect 0 "--resume" transcribe $formats --resume in
check "--resume does neither" [ -z "$(find out.d -name '*.txt' -newermt 2002-01-01)" ]
# shellcheck disable=SC2086
expect 5 "--resume-damaged" transcribe $formats --resume-damaged in
check "--resume-damaged does the damaged one" \
    [ "$(find out.d -name '*.txt' -newermt 2002-01-01)" = out.d/hole.txt ]
refuse 2 "--resume-damaged without a folder" "--output-dir" transcribe --resume-damaged light.wav
python3 - <<'PY'
import array, wave
w = wave.open("light.wav")
params, samples = w.getparams(), array.array("h", w.readframes(w.getnframes()))
import struct
with open("nan.wav", "wb") as f:
    data = b"".join(struct.pack("<f", s / 32768) for s in samples[:20000])
    data = data[:4 * 16000] + struct.pack("<f", float("nan")) * 160 + data[4 * 16160:]
    f.write(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " +
            struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32) + b"data" +
            struct.pack("<I", len(data)) + data)
with wave.open("many.wav", "wb") as out:
    out.setparams(params._replace(nchannels=12))
    frames = array.array("h")
    for s in samples: frames.extend([0] * 6 + [s] + [0] * 5)
    out.writeframes(frames.tobytes())
PY
expect 5 "samples that are no numbers" transcribe nan.wav
told "samples that are no numbers" "nan.wav: the sound is damaged from 1.00 s to 1.01 s" 1
expect 0 "reply: damage is told" "$runnel" reply -q --max-tokens 3 -o a.wav nan.wav
told "reply: damage is told" "nan.wav: the sound is damaged" 1
echo "@nan.wav" > lines
INPUT=lines expect 0 "chat: damage is told" "$runnel" chat -q --max-tokens 3
told "chat: damage is told" "nan.wav: the sound is damaged" 1
expect 0 "talk: damage is told" "$runnel" talk -q --input file:nan.wav --output null --max-tokens 3
told "talk: damage is told" "nan.wav: the sound is damaged" 1
echo '{"audio_filepath": "nan.wav", "text": "Turn on the kitchen light."}' > refs.jsonl
expect 5 "eval: damage is told" "$runnel" eval -q --refs refs.jsonl
told "eval: damage is told" "nan.wav: the sound is damaged" 1
check "eval: the rest is judged" grep -q "total" out

# ---- Channels
expect 0 "out of phase" transcribe "$cases/out-of-phase.wav"
says "out of phase" "$light"
told "out of phase: told once" "take each other out" 1
refuse 5 "twelve channels mixed" "--per-channel" transcribe many.wav
expect 0 "one of twelve" transcribe --channel 7 many.wav
says "one of twelve" "$light"
expect 0 "each of twelve" transcribe --per-channel --output-dir each many.wav
check "each of twelve" [ "$(cat each/many.channel7.txt)" = "$light" -a ! -s each/many.channel8.txt ]
refuse 2 "channel 65" "1 to 64" transcribe --channel 65 many.wav

# ---- What ffmpeg decodes
if ! command -v ffmpeg > /dev/null; then
    echo "SKIPPED: ffmpeg is not installed; what it decodes is not tested"
    summary
    exit
fi
for name in video.ts speex.ogg; do
    expect 0 "$name" transcribe "$cases/$name"
    says "$name" "$light"
done
expect 5 "AAC in WAV" transcribe "$cases/aac-in.wav"
told "AAC in WAV: most of it cannot be decoded" "the sound is damaged" 1
INPUT=$cases/voice.m4a expect 0 "m4a as standard input" transcribe -
says "m4a as standard input" "$light"
expect 0 "m4a through a pipe" bash -c 'cat "$2" | "$1" transcribe -q -' _ "$runnel" \
    "$cases/voice.m4a"
says "m4a through a pipe" "$light"
mkdir films && cp "$cases/clip.flv" "$cases/video.ts" films/
expect 0 "films in a folder" transcribe films
count "films in a folder" 2
refuse 5 "a film without sound" "there is no sound track in it" \
    transcribe "$cases/no-sound-track.mp4"
expect 0 "sound that starts late" transcribe -o late.srt "$cases/audio-starts-late.mp4"
cues "sound that starts late" late.srt 5.0
expect 0 "packets that are missing" transcribe -o gap.srt "$cases/packets-missing.mkv"
cues "packets that are missing" gap.srt 0.05 10.06
convert() { ffmpeg -nostdin -v error -y "$@" 2> err || fail "ffmpeg $*"; }
convert -i light.wav -i weather.wav -map 0 -map 1 -c:a flac tracks.mkv
expect 0 "the first track" transcribe tracks.mkv
says "the first track" "$light"
expect 0 "the second track" transcribe --track 2 tracks.mkv
says "the second track" "$weather"
refuse 5 "a track that is not there" "no sound track 3 in it" transcribe --track 3 tracks.mkv
convert -itsoffset 3 -i light.wav -f lavfi -i color=s=32x32:r=5:d=5 -map 1:v -map 0:a -c:a aac \
    -c:v mpeg4 late.mov
expect 0 "a film whose sound starts late" transcribe -o film.srt late.mov
cues "a film whose sound starts late" film.srt 3.1
convert -i pause.wav -c:a mp2 -f mpegts a.ts
convert -i weather.wav -c:a mp2 -f mpegts b.ts
cat a.ts b.ts > ab.ts
expect 0 "joined transport streams" transcribe ab.ts
says "joined transport streams" "$light
$weather"
for name in pause weather; do
    convert -i $name.wav $name.flac
    convert -i $name.wav $name.opus
done
cat pause.flac weather.flac > joined.flac
cat pause.opus pause.opus weather.opus > joined.opus
expect 0 "joined FLAC" transcribe joined.flac
says "joined FLAC" "$light
$weather"
expect 0 "joined Opus" bash -c 'cat joined.opus | "$1" transcribe -q -' _ "$runnel"
count "joined Opus" 3
# A page in the middle of a sound, and packets of a film
python3 - <<'PY'
import re
data = open("joined.opus", "rb").read()
pages = [m.start() for m in re.finditer(b"OggS", data)]
middle = next(p for p in pages if p > len(data) // 3)
end = next(p for p in pages if p > middle)
open("page.opus", "wb").write(data[:middle] + bytes(end - middle) + data[end:])
PY
expect 5 "a lost page" transcribe -o page.vtt page.opus
told "a lost page" "page.opus: the sound is damaged" 1
check "a lost page: NOTE" grep -q "^NOTE damaged from " page.vtt
convert -i weather.wav -c:a aac -movflags +faststart weather.m4a
python3 - <<'PY'
data = bytearray(open("weather.m4a", "rb").read())
at = data.index(b"mdat") + 4
middle = at + (len(data) - at) // 2
data[middle:middle + 400] = bytes([0xff]) * 400
open("broken.m4a", "wb").write(data)
open("cut.m4a", "wb").write(data[:middle])
PY
expect 5 "damaged AAC" transcribe broken.m4a
told "damaged AAC" "broken.m4a: the sound is damaged from 1" 1
expect 5 "a film that is cut off" transcribe cut.m4a
told "a film that is cut off" "cut.m4a: the recording is cut off" 1

summary
