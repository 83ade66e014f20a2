#!/usr/bin/env bash
# Sound files and long texts from outside: files.sh PROGRAM SOURCE. Every format in and out,
# standard input, books that are stopped and go on. Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"

seconds_of() { # of a WAV file of 24 kHz, to a hundredth
    python3 -c 'import sys, wave
print(round(wave.open(sys.argv[1]).getnframes() / 24000, 2))' "$1"
}

# ---- Every format out, and in again with the same words
heard=
suffixes="wav flac opus"
ldd "$runnel" | grep -q libmp3lame && suffixes="$suffixes mp3" # as Debian's libsndfile has it
for suffix in $suffixes; do
    expect 0 "say .$suffix" "$runnel" say -q "The kitchen light is on." -o "said.$suffix"
    expect 0 "transcribe .$suffix" "$runnel" transcribe -q "said.$suffix"
    [ -n "$heard" ] || heard=$(cat out)
    check "the words of .$suffix" [ "$(cat out)" = "$heard" ]
done
if [ -e said.mp3 ]; then
    check "mp3 is MP3" python3 -c 'assert open("said.mp3", "rb").read(2)[0] == 0xff'
    expect 0 "an answer as MP3" "$runnel" reply -q "$question" -o answer.mp3
    expect 0 "a book as MP3" "$runnel" say -q -f <(echo "Hello. Who are you?") -o book.mp3
fi
check "opus is Opus" grep -q OpusHead said.opus
check "flac is FLAC" grep -q fLaC said.flac
expect 0 "reply .opus" "$runnel" reply -q "$question" -o answer.opus
check "an answer as Opus" grep -q OpusHead answer.opus
cp said.flac wrong.mp3
expect 0 "content before suffix" "$runnel" transcribe -q wrong.mp3
check "content before suffix" [ "$(cat out)" = "$heard" ]
for command in "say hello" "reply $question" "say -f text.txt"; do
    echo "Hello." > text.txt
    # shellcheck disable=SC2086 # words
    refuse 2 "unknown suffix: $command" "use .wav, .flac or .opus" "$runnel" $command \
        -m nowhere.gguf -o x.ogg
    refuse 1 "no folder: $command" "its folder" "$runnel" $command -m nowhere.gguf -o no/x.flac
done

# ---- Standard input
INPUT=$question expect 0 "a file as standard input" "$runnel" transcribe -q -
check "a file as standard input" grep -q "Turn on the kitchen light" out
INPUT=said.flac expect 0 "FLAC as standard input" "$runnel" transcribe -q -
check "FLAC as standard input" [ "$(cat out)" = "$heard" ]
expect 0 "WAV through a pipe" bash -c 'cat "$2" | "$1" transcribe -q -' _ "$runnel" "$question"
check "WAV through a pipe" grep -q "Turn on the kitchen light" out
expect 0 "Opus through a pipe" bash -c 'cat said.opus | "$1" transcribe -q -' _ "$runnel"
check "Opus through a pipe" [ "$(cat out)" = "$heard" ]
expect 0 "FLAC through a pipe" bash -c 'cat said.flac | "$1" transcribe -q -' _ "$runnel"
check "FLAC through a pipe" [ "$(cat out)" = "$heard" ]
refuse 5 "nothing as standard input" "no sound" "$runnel" reply -
python3 - "$question" <<'PY'
import array, sys, wave
w = wave.open(sys.argv[1])
assert w.getframerate() == 16000 and w.getnchannels() == 1
raw = w.readframes(w.getnframes())
open("mono.raw", "wb").write(raw)
stereo = array.array("i")
for s in array.array("h", raw):
    stereo.extend((0, s << 16))
open("stereo.raw", "wb").write(stereo.tobytes())
PY
INPUT=mono.raw refuse 5 "raw samples without a word" "--raw-rate" "$runnel" reply -q - -o raw.wav
INPUT=mono.raw expect 0 "raw samples" "$runnel" reply -q - -o raw.wav --raw-rate 16000
check "raw samples" grep -q "kitchen light is on" out
INPUT=stereo.raw expect 0 "raw samples with options" "$runnel" reply -q - --raw-format s32le \
    --raw-channels 2 --channel 2 -o raw.wav
check "raw samples with options" grep -q "kitchen light is on" out
refuse 2 "raw format" "s16le" "$runnel" reply - --raw-format u8
refuse 2 "raw rate" "4000 to 768000" "$runnel" reply - --raw-rate 100
refuse 5 "a channel that is not there" "no channel 2" "$runnel" reply "$question" --channel 2

# ---- ffmpeg, or a script in its place
printf '\0\0\0\040ftypM4A rest' > -talk.m4a
mkdir bin nothing
printf '#!/bin/sh\ncat "%s"\n' "$question" > bin/ffmpeg && chmod +x bin/ffmpeg
expect 0 "by ffmpeg" env "PATH=$work/bin:$PATH" "$runnel" reply -q -o a.wav -- -talk.m4a
check "by ffmpeg" grep -q "kitchen light is on" out
refuse 5 "without ffmpeg" "install ffmpeg" env "PATH=$work/nothing" "$runnel" reply -q ./-talk.m4a
printf '#!/bin/sh\necho no audio here >&2\nexit 1\n' > bin/ffmpeg
refuse 5 "ffmpeg fails" "no audio here" env "PATH=$work/bin:$PATH" "$runnel" reply -q ./-talk.m4a

# ---- Disks that fill up, files that cannot be read
for suffix in flac opus; do
    (ulimit -f 2; trap '' XFSZ; "$runnel" say -q "The kitchen light is on." -o "full.$suffix" \
        > out 2> err)
    check "full disk, .$suffix" [ $? -eq 1 -a ! -e "full.$suffix" ]
    check "full disk, .$suffix: a sentence" grep -q "free some space" err
done
if [ "$(id -u)" -ne 0 ]; then
    cp "$question" locked.wav && chmod 0 locked.wav
    refuse 5 "unreadable sound" "cannot be opened" "$runnel" reply locked.wav
fi

# ---- A book
cat > book.md <<'TEXT'
# The *Light*

The kitchen light is on. Turn it [off](http://nowhere)!

What is seven plus five? Seven plus five is twelve.

- Turn on the kitchen light.
- What time is it?
TEXT
expect 0 "book" "$runnel" say -q -f book.md -o book.wav
check "book: quiet" [ ! -s err ]
check "book: no folder left" [ ! -e book.wav.parts ]
expect 0 "book --json" "$runnel" say -q -f book.md -o json.opus --json
check "book --json" python3 - out <<'PY'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
texts = [r["text"] for r in rows]
assert texts == ["The Light", "The kitchen light is on.", "Turn it off!",
                 "What is seven plus five?", "Seven plus five is twelve.",
                 "Turn on the kitchen light.", "What time is it?"], texts
assert [r["index"] for r in rows] == list(range(1, 8))
pauses = [round(b["start"] - a["end"], 3) for a, b in zip(rows, rows[1:])]
assert pauses == [1.2, 0.3, 0.7, 0.3, 0.7, 0.3], pauses
PY
expect 0 "book with pauses" "$runnel" say -q -f book.md -o slow.wav --pause-sentence 1.3 \
    --pause-paragraph 2.7 --pause-heading 4.2
check "book with pauses: 3 of each" python3 -c \
    "assert abs(($(seconds_of slow.wav)) - ($(seconds_of book.wav)) - 10) < 0.02"
INPUT=book.md expect 0 "book from standard input" "$runnel" say -q -f - -o piped.wav
check "book from standard input" cmp book.wav piped.wav
expect 0 "a finished book" "$runnel" say -f book.md -o book.wav --resume
check "a finished book" grep -q "finished already" err
refuse 5 "no text" "no text" "$runnel" say -f /dev/null -o x.wav
refuse 5 "missing text" "nowhere.txt" "$runnel" say -f nowhere.txt -o x.wav
refuse 5 "a folder as text" "folder" "$runnel" say -f bin -o x.wav
printf 'Good.\n\ncaf\351\n' > latin.txt
refuse 5 "text not UTF-8" "line 3" "$runnel" say -f latin.txt -o latin.wav
check "no text leaves nothing" [ ! -e x.wav.parts ]
rm -r latin.wav.parts
refuse 2 "text and file" "not both" "$runnel" say hello -f book.md
refuse 2 "a pause that is none" "number from 0 to 10" "$runnel" say -f book.md --pause-heading 11

# ---- A book that is stopped: by Ctrl-C, by a crash, by a full disk
for _ in 1 2 3; do cat book.md; done > long.md
expect 0 "the whole book" "$runnel" say -q -t 1 -f long.md -o whole.opus
stop_at() { # stop_at SIGNAL LINES: starts the book and stops it when so many sentences are done
    "$runnel" say -t 1 -f long.md -o stopped.opus "${@:3}" > out 2> err < /dev/null &
    local pid=$!
    for _ in $(seq 2000); do
        [ "$(cat stopped.opus.parts/done.jsonl 2> /dev/null | wc -l)" -gt "$2" ] && break
        sleep 0.01
    done
    kill "-$1" $pid
    wait $pid 2> /dev/null
}
stop_at INT 3
check "Ctrl-C: 130" [ $? -eq 130 ]
check "Ctrl-C says how to go on" grep -q "the same command with --resume goes on" err
check "Ctrl-C leaves no output" [ ! -e stopped.opus -a -d stopped.opus.parts ]
refuse 1 "an earlier run" "go on with --resume" "$runnel" say -f long.md -o stopped.opus
refuse 1 "other options" "the same" "$runnel" say -f long.md -o stopped.opus --resume --seed 5
refuse 1 "another text" "sentence 1 of the text" "$runnel" say -f text.txt -o stopped.opus --resume
done_before=$(wc -l < stopped.opus.parts/done.jsonl)
stop_at KILL $((done_before + 3)) --resume
check "a crash keeps what was done" \
    [ "$(wc -l < stopped.opus.parts/done.jsonl)" -gt "$done_before" ]
(ulimit -f 1000; trap '' XFSZ; "$runnel" say -q -t 1 -f long.md -o stopped.opus --resume \
    > out 2> err)
check "a full disk" [ $? -eq 1 ]
check "a full disk: a sentence" grep -q "cannot be written" err
expect 0 "the rest" "$runnel" say -t 1 -f long.md -o stopped.opus --resume
# The name gives an Opus stream its number, so the sounds are compared, not the bytes.
for name in whole stopped; do "$runnel" transcribe -q --json "$name.opus" > /dev/null 2>&1; done
python3 - <<'PY' && pass || fail "the book that was stopped is not the whole one"
import re
def packets(name):  # pages without their serial number and checksum
    data = open(name, "rb").read()
    return re.sub(rb"(?s)(OggS.{10}).{4}(.{4}).{4}", rb"\1\2", data)
assert packets("whole.opus") == packets("stopped.opus")
PY
check "no folder left" [ ! -e stopped.opus.parts ]

# ---- Progress: a bar on a terminal
if python3 - "$runnel" > out 2> err <<'PY'; then pass; else fail "a bar on a terminal"; fi
import os, pty, signal, sys
signal.alarm(60)
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "say", "-t", "1", "-f", "long.md", "-o", "bar.wav"])
seen = b""
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    seen += part
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
text = seen.decode()
assert "speaking [###" in text and "x real time, " in text and "left: " in text, text[-600:]
lines = [line for line in text.split("\r") if line.startswith("speaking")]
assert lines and all(len(line.replace("\033[K", "")) <= 80 for line in lines)
PY

summary
