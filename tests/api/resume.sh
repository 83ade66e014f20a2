#!/usr/bin/env bash
# --resume does again what would come out otherwise, and nothing else: resume.sh PROGRAM SOURCE.
# Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"

mkdir in
python3 - "$source/samples/questions" <<'PY'
import sys, wave
left, right = (wave.open(f"{sys.argv[1]}/{n}.wav") for n in ("light", "who"))
size = max(left.getnframes(), right.getnframes()) * 2
a, b = (w.readframes(w.getnframes()).ljust(size, b"\0") for w in (left, right))
with wave.open("in/two.wav", "wb") as w:
    w.setnchannels(2), w.setsampwidth(2), w.setframerate(left.getframerate())
    w.writeframes(b"".join(a[i:i + 2] + b[i:i + 2] for i in range(0, size, 2)))
PY
cp "$model" model.gguf
transcribe() { # transcribe OPTION...: with --resume, of both channels
    expect 0 "transcribe $*" "$runnel" transcribe -q -m model.gguf --output-dir o --resume in "$@"
}
# Whether the last command has worked on a recording: files marked old are written anew.
mark_old() { touch -d 2001-01-01 o/two*; }
done_anew() { check "$1: done anew" [ -n "$(find o -name 'two*' -newermt 2002-01-01)" ]; }
left_alone() { check "$1: nothing is done" [ -z "$(find o -name 'two*' -newermt 2002-01-01)" ]; }

# ---- The channel decides what is heard
transcribe --channel 1
check "channel 1" grep -q "kitchen light" o/two.txt
transcribe --channel 2
check "channel 2" grep -qi "who are you" o/two.txt

# ---- Each option that changes a result, from the same beginning
for option in "--channel 2" "--seed 1" "--max-tokens 7" "--exact" "--cpu scalar" "--temp 0.5" \
    "--top-k 3" "--system Hello." "--raw-rate 8000" "--whole" "--output-format txt,srt" \
    "--per-channel"; do
    rm -rf o
    transcribe
    mark_old
    # shellcheck disable=SC2086 # words
    transcribe $option
    done_anew "$option"
    mark_old
    # shellcheck disable=SC2086
    transcribe $option
    left_alone "$option again"
done
long=$(printf 'word %.0s' $(seq 300))
rm -rf o
transcribe --system "$long one"
mark_old
transcribe --system "$long two"
done_anew "the end of a long --system"
rm -rf o
transcribe
for option in "-t 1" "--jobs 2" "--color"; do
    mark_old
    # shellcheck disable=SC2086
    transcribe $option
    left_alone "$option"
done

# ---- Of the model what is in it: not its name, nor where it lies
mark_old
cp model.gguf copy.gguf
expect 0 "a copy of the model" "$runnel" transcribe -q -m copy.gguf --output-dir o --resume in
left_alone "a copy of the model"
expect 0 "convert" "$runnel" convert -q model.gguf -o set.gguf --format set
expect 0 "the model as a set" "$runnel" transcribe -q -m set.gguf --output-dir o --resume in
left_alone "the model as a set"
expect 0 "convert" "$runnel" convert -q model.gguf -o other.gguf --type q4_0
expect 0 "its name, other bits" "$runnel" transcribe -q -m other.gguf --output-dir o --resume in
done_anew "its name, other bits"
mark_old
expect 0 "convert" "$runnel" convert -q model.gguf -o system.gguf \
    --set "runnel.default.transcribe.system=Be quick."
expect 0 "another default" "$runnel" transcribe -q -m system.gguf --output-dir o --resume in
done_anew "another default"

# ---- What was written must be there
for format in txt srt,json; do
    rm -rf o
    transcribe --output-format $format
    for file in o/two.*; do
        rm "$file"
        transcribe --output-format $format
        check "$file was missing: written again" [ -s "$file" ]
    done
done
rm -rf o
transcribe --per-channel
rm o/two.channel2.txt
transcribe --per-channel
check "a channel was missing: written again" [ -s o/two.channel2.txt ]
mark_old
transcribe --per-channel
left_alone "all channels are there"

# ---- Names that are no UTF-8
rm -rf o in/*
cp "$question" $'in/caf\351.wav'
cp "$source/samples/questions/who.wav" $'in/caf\350.wav'
transcribe
check "two names, two texts" [ "$(find o -name 'caf*.txt' | wc -l)" -eq 2 ]
find o -name 'caf*' -exec touch -d 2001-01-01 {} +
transcribe
check "both are done" [ -z "$(find o -name 'caf*' -newermt 2002-01-01)" ]

# ---- say: the same settings, or a refusal; what is finished, and by what
three="Who are you? The kitchen light is on. What is seven plus five?"
say() { "$runnel" say -q -t 1 -m "${use:-model.gguf}" "$three" -o s.wav --resume "$@"; }
mkdir kept
"$runnel" say -t 1 -m model.gguf "$three $three $three $three" -o s.wav > out 2> err < /dev/null &
pid=$!
for _ in $(seq 2000); do
    [ "$(cat s.wav.parts/done.jsonl 2> /dev/null | wc -l)" -gt 1 ] && break
    sleep 0.01
done
kill -KILL $pid
wait $pid 2> /dev/null
head -2 s.wav.parts/done.jsonl > kept/done.jsonl && cp s.wav.parts/speech.pcm kept/
for option in "--seed 4" "--exact" "--kv f32" "--temp 0.3" "--audio-temp 0.3" "--audio-top-k 2" \
    "--max-tokens 99" "--voice uk-male" "--pause-sentence 1" "--sentence-max 50" "--plain" \
    "--cpu scalar"; do
    rm -rf s.wav* && cp -r kept s.wav.parts
    # shellcheck disable=SC2086
    refuse 1 "say $option" "the same" say $option
done
rm -rf s.wav* && cp -r kept s.wav.parts
use=other.gguf refuse 1 "say, its name, other bits" "the same" say
use=copy.gguf expect 0 "say, a copy of the model" say
cp s.wav resumed.wav && rm s.wav
expect 0 "say, in one go" say
check "say, in one go: the same" cmp s.wav resumed.wav

# ---- What is finished, and of what: where the file system keeps notes of files
if python3 -c 'import os; os.setxattr("s.wav", "user.test", b"1")' 2> err; then
    touch -d 2001-01-01 s.wav
    finished() { # finished NAME COMMAND...: nothing is done
        expect 0 "$@"
        check "$1: nothing is done" [ "$(stat -c %Y s.wav)" -lt 1000000000 ]
    }
    finished "the same again" say
    use=copy.gguf finished "the same model under another name" say
    printf '%s' "$three" > text.txt
    finished "the same text as a file" "$runnel" say -q -f text.txt -m model.gguf -o s.wav --resume
    printf 'Who are you? The kitchen light is on.\n\nWhat is seven plus five?' > text.txt
    for command in "-f text.txt" "-f text.txt --seed 3" "Who. --seed 3"; do
        touch -d 2001-01-01 s.wav
        # shellcheck disable=SC2086
        expect 0 "say $command" "$runnel" say -q $command -m model.gguf -o s.wav --resume
        check "say $command: done anew" [ "$(stat -c %Y s.wav)" -gt 1000000000 ]
    done
    touch -d 2001-01-01 s.wav
    expect 0 "other bits" "$runnel" say -q Who. --seed 3 -m other.gguf -o s.wav --resume
    check "other bits: done anew" [ "$(stat -c %Y s.wav)" -gt 1000000000 ]
    cp --no-preserve=xattr s.wav t.wav && mv t.wav s.wav && touch -d 2001-01-01 s.wav
    finished "without a note the file is believed" say
fi

summary
