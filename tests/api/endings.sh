#!/usr/bin/env bash
# How the program ends when it cannot go on: Ctrl-C in every command, signals, full disks, sounds of
# hours. Nothing half-written may stay. endings.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

slow="-m $source/tests/data/tiny --audio-temp 1 --seed 0" # its answers end at the limit only
mkdir out.d
left() { find out.d -mindepth 1; }

# Waits until the process catches Ctrl-C, which a shell's background job ignores at first.
catches() {
    for _ in $(seq 500); do
        local caught
        caught=$(sed -n 's/^SigCgt:\t//p' "/proc/$1/status" 2> err.kill)
        (((0x${caught:-0} & 2) != 0)) && return
        sleep 0.02
    done
}

# stop NAME CODE SIGNALS COMMAND...: sends the signals one after the other while the command works
# (0.2 s after its start); wants the code, within 20 s, and nothing in out.d.
stop() {
    local name=$1 code=$2 signals=$3 got=0
    shift 3
    "$@" > out 2> err < wait.fifo &
    local pid=$!
    exec 9> wait.fifo # standard input stays open: a command that reads it waits
    catches $pid
    sleep 0.2
    for signal in $signals; do kill "-$signal" $pid 2> err.kill; done
    timeout 20 tail --pid=$pid -f /dev/null || { kill -KILL $pid; name="$name (hangs)"; }
    wait $pid || got=$?
    exec 9>&-
    [ "$got" -eq "$code" ] && pass || fail "$name: exit code $got, not $code"
    [ -z "$(left)" ] && pass || fail "$name: left $(left)"
    rm -rf out.d && mkdir out.d
}
mkfifo wait.fifo

# ---- Ctrl-C
long="--max-tokens 20000 --context 100000"
stop "reply" 130 INT "$runnel" reply $slow $long "$question" -o out.d/a.wav
stop "two turns" 130 INT "$runnel" reply $slow $long "$question" "$question" -o out.d
stop "reply --json" 130 INT "$runnel" reply $slow $long --json "$question" -o out.d/a.wav
[ ! -s out ] && pass || fail "reply --json: printed although stopped"
python3 - "$question" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as r, wave.open("talk.wav", "wb") as w:
    w.setparams(r.getparams())
    w.writeframes(r.readframes(r.getnframes()) * 400)  # some ten minutes
PY
stop "transcribe" 130 INT "$runnel" transcribe talk.wav
stop "say" 130 INT "$runnel" say $slow $long "hello" -o out.d/a.wav
stop "chat" 130 INT "$runnel" chat $slow $long "hello" -o out.d
stop "chat waiting for a line" 130 INT "$runnel" chat
stop "tokenize waiting for a line" 130 INT "$runnel" tokenize
stop "say waiting for text" 130 INT "$runnel" say - -o out.d/a.wav
stop "bench" 130 INT "$runnel" bench --repeat 1000
yes "Turn on the kitchen light." | head -c 3000000 > long.txt
stop "perplexity" 130 INT "$runnel" perplexity -f long.txt --save-logits out.d/logits
stop "measure" 130 INT "$runnel" measure --rounds 25 "$source/tests/data/measure/plain.json" \
    --reference "$source/tests/data/measure/plain.json"
stop "dump" 130 INT "$runnel" dump logits $slow $long "$question" -o out.d/x.npy

# Converting is quick: the signals come as soon as the first file is begun. All four are removed.
for signals in INT "INT INT" TERM; do
    code=130 got=0
    [ "$signals" = TERM ] && code=143
    "$runnel" convert -q "$model" -o out.d/big.gguf --type q4_0 --format set > out 2> err &
    pid=$!
    catches $pid
    for _ in $(seq 1000); do [ -n "$(left)" ] && break; done
    for signal in $signals; do kill "-$signal" $pid; done
    wait $pid || got=$?
    check "convert, $signals: exit code $got" [ "$got" -eq "$code" ]
    check "convert, $signals: left $(left)" [ -z "$(left)" ]
    rm -rf out.d && mkdir out.d
done

# ---- The second Ctrl-C does not wait; SIGTERM and SIGHUP neither
stop "twice" 130 "INT INT" "$runnel" reply $slow $long "$question" -o out.d/a.wav
stop "SIGTERM" 143 TERM "$runnel" reply $slow $long "$question" -o out.d/a.wav
stop "SIGHUP" 129 HUP "$runnel" reply $slow $long "$question" -o out.d/a.wav


# ---- A disk that is full: of 16 KiB, where a disk of its own can be had
on_small_disk() { # CODE-FILE COMMAND...: in a mount namespace whose disk/ is small
    unshare -rm bash -c 'mount -t tmpfs -o size=16k,mode=777 small disk || exit 99
        "$@" > out 2> err < /dev/null; code=$?
        [ -z "$(ls disk)" ] || echo "left: $(ls disk)" >> err
        exit $code' _ "$@"
}
mkdir disk in.d kept.d
if unshare -rm mount -t tmpfs -o size=16k small disk 2> err; then
    for command in "reply $question -o disk/a.wav" "convert $model -o disk/a.gguf" \
        "convert $model --format set -o disk/a.gguf" "dump embeddings $question -o disk/x.npy" \
        "dump logits $question -o disk/x.npy" "say hello -o disk/a.wav" \
        "chat hello -m $tiny --audio-temp 0 --max-tokens 200 -o disk/answers"; do
        got=0
        on_small_disk "$runnel" $command || got=$?
        check "full disk, $command: exit code $got" [ "$got" -eq 1 ]
        check "full disk, $command: the sentence" \
            [ "$(grep -c '^runnel: .*No space left' err)" -eq 1 ]
        case $command in *answers) continue ;; esac # the folder itself stays
        check "full disk, $command: $(grep left: err)" [ -z "$(grep left: err)" ]
    done
    # Four pages of 4 KiB: the manifest and three texts. Seven recordings more are refused, each by
    # name; nothing half-written stays.
    cp "$source"/tests/data/minnow/clips/held-0?.wav in.d/
    got=0
    on_small_disk bash -c '"$1" transcribe -q --jobs 1 --output-dir disk in.d; code=$?
        cp disk/* kept.d/; rm disk/*; exit $code' _ "$runnel" || got=$?
    check "full disk, transcribe: exit code $got" [ "$got" -eq 1 ]
    check "full disk, transcribe: each is named" \
        [ "$(grep -c '^runnel: disk/held-0[3-9].txt: .*No space left' err)" -eq 7 ]
    check "full disk, transcribe: $(tail -1 err)" \
        grep -q '^7 of 10 recordings failed, 3 done$' err err
    check "full disk, transcribe: $(ls kept.d)" [ "$(ls kept.d | tr '\n' ' ')" = \
        "held-00.txt held-01.txt held-02.txt runnel-manifest.jsonl " ]
    check "full disk, transcribe: whole texts" \
        [ "$(cat kept.d/*.txt | grep -c '[?.]$')" -eq 3 ]
    # A book goes on when there is room again.
    echo "The kitchen light is on. Turn it off! What is seven plus five?" > book.txt
    got=0
    on_small_disk bash -c 'say=("$1" say -q -f book.txt -o disk/book.opus)
        "${say[@]}" && exit 90
        [ ! -e disk/book.opus ] || exit 91
        mount -o remount,size=10m disk
        "${say[@]}" --resume && mv disk/book.opus kept.d/' _ "$runnel" || got=$?
    check "full disk, a book: exit code $got" [ "$got" -eq 0 ]
    check "full disk, a book: the sentence" [ "$(grep -c '^runnel: .*No space left' err)" -eq 1 ]
    check "full disk, a book: $(grep left: err)" [ -z "$(grep left: err)" ]
    expect 0 "a book with room enough" "$runnel" say -q -f book.txt -o disk/book.opus
    check "full disk, a book: the same length" [ "$(stat -c %s disk/book.opus)" -eq \
        "$(stat -c %s kept.d/book.opus)" ]
else
    echo "skipped: no disk of 16 KiB can be mounted here ($(head -1 err))"
fi

# ---- Sounds of hours: told at once, without reading them or taking memory for them
python3 - <<'PY'
import os, struct
def hours(name, rate, channels, hours, rf64=False):
    size = rate * channels * 2 * 3600 * hours
    small = min(size, 0xFFFFFFFF)
    with open(name, "wb") as f:
        f.write(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE",
                            b"fmt ", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16,
                            b"data", small))
        f.truncate(44 + size) # holes: takes no room on the disk
hours("day.wav", 16000, 1, 24)
hours("three.wav", 48000, 2, 3)
PY
for name in day three; do
    # A day takes 2.7 GiB as 16 bit samples: more than is allowed here. (The sanitizers need more
    # address space than there is memory.)
    refuse 5 "hours long: $name" "transcribe" timeout 20 bash -c \
        '[ -n "${RUNNEL_TEST_SHORT:-}" ] || ulimit -v 1000000; exec "$@"' _ \
        "$runnel" reply -t 1 $name.wav -o out.d/a.wav
done
check "hours long: left $(left)" [ -z "$(left)" ]

summary
