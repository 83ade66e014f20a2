#!/usr/bin/env bash
# What a command reads is never written over, whatever name it is given; links are written through;
# long names; a stopped run: keep.sh PROGRAM SOURCE. Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"

# keeps NAME FILE COMMAND...: refused in one sentence, and the file is as it was. By the file's own
# name, by a symbolic and by a hard link: TARGET in the command stands for it.
keeps() {
    local name=$1 file=$2 target before
    shift 2
    before=$(sha256sum < "$file")
    ln -sf "$(realpath "$file")" "soft.${file##*.}"
    ln -f "$file" "hard.${file##*.}"
    for target in "$file" "./$file" "soft.${file##*.}" "hard.${file##*.}"; do
        refuse 2 "$name, $target" "reads this very file" "${@//TARGET/$target}"
        check "$name, $target: as it was" [ "$(sha256sum < "$file")" = "$before" ]
    done
    rm -f "soft.${file##*.}" "hard.${file##*.}"
}

cp "$question" in.wav
cp "$source/samples/questions/who.wav" second.wav
cp "$tiny" model.gguf
echo "Who are you?" > text.wav
keeps "reply" in.wav "$runnel" reply in.wav -o TARGET
INPUT=in.wav keeps "reply, standard input" in.wav "$runnel" reply - -o TARGET
keeps "say -f" text.wav "$runnel" say -f text.wav -o TARGET
INPUT=text.wav keeps "say, standard input" text.wav "$runnel" say - -o TARGET
keeps "convert" model.gguf "$runnel" convert model.gguf -o TARGET
cp in.wav in.txt
keeps "transcribe" in.txt "$runnel" transcribe in.txt -o TARGET
cp in.wav in.npy
keeps "dump, the sound" in.npy "$runnel" dump mel in.npy -o TARGET
cp "$model" model.npy
keeps "dump, the model" model.npy "$runnel" dump mel in.wav -m model.npy -o TARGET
"$runnel" talk -q --input file:in.wav --trace t.jsonl > out 2> err < /dev/null
check "a trace" [ -s t.jsonl ]
keeps "trace" t.jsonl "$runnel" trace t.jsonl -o TARGET
keeps "talk --record" in.wav "$runnel" talk --input file:in.wav --record TARGET
keeps "talk --trace" in.wav "$runnel" talk --input file:in.wav --trace TARGET
keeps "talk --output" in.wav "$runnel" talk --input file:in.wav --output file:TARGET

# A set: files that the model has beside the one named
for part in "" mmproj- vocoder- tokenizer-; do cp "$source/tests/data/gguf/${part}tiny-F16.gguf" \
    "${part}set.gguf"; done
sha256sum ./*set.gguf > sums
for part in "" mmproj- vocoder- tokenizer-; do
    refuse 2 "convert a set, over ${part}set" "reads this very file" "$runnel" convert set.gguf \
        -o "${part}set.gguf"
done
refuse 2 "convert a set onto itself" "reads this very file" "$runnel" convert set.gguf -o set.gguf \
    --format set
check "the set is as it was" sha256sum --quiet -c sums
cp -r "$source/tests/data/tiny" folder && chmod -R u+w folder
(cd folder && sha256sum -- *.json *.safetensors) > sums
for file in config.json model.safetensors tokenizer.json; do
    refuse 2 "convert a folder, over its $file" "reads this very file" \
        "$runnel" convert folder -o "folder/$file"
done
check "the folder is as it was" sh -c 'cd folder && sha256sum --quiet -c ../sums'

# A text that would be put over a recording, or over the list
mkdir calls
cp in.wav calls/a.wav
cp in.wav calls/a.txt
printf 'calls/a.wav\ncalls/b.wav\n' > calls/b.txt
cp in.wav calls/b.wav
before=$(sha256sum calls/*)
expect 1 "transcribe, over another recording" "$runnel" transcribe -q calls/a.wav calls/a.txt \
    --output-format txt
check "transcribe, over another recording: told" grep -q "calls/a.txt.*reads this very file" err
expect 1 "transcribe, over its list" "$runnel" transcribe -q --list calls/b.txt --output-format txt
check "transcribe, over its list: told" grep -q "calls/b.txt.*reads this very file" err
check "recordings and list are as they were" [ "$(sha256sum calls/a.wav calls/b.* | sha256sum)" = \
    "$(echo "$before" | grep -v 'calls/a.txt' | sha256sum)" ]

# Answers that would have the name of a question get another
mkdir d && cp second.wav d/in.answer.wav
expect 0 "answers beside questions" "$runnel" reply -q in.wav d/in.answer.wav -o d
check "answers beside questions: named anew" [ -s d/in.2.answer.wav -a -s d/in.answer.answer.wav ]
check "answers beside questions: the question stays" cmp second.wav d/in.answer.wav
mkdir talk && cp in.wav talk/turn-01.wav
echo "@talk/turn-01.wav" > lines
INPUT=lines expect 0 "a chat beside its sounds" "$runnel" chat -q -o talk
check "a chat beside its sounds: the sound stays" cmp in.wav talk/turn-01.wav
check "a chat beside its sounds: the answer" [ -s talk/turn-02.wav ]

# ---- Links are written through, owner and mode stay
mkdir far && echo old > far/real.wav && chmod 640 far/real.wav && ln -s far/real.wav link.wav
expect 0 "through a link" "$runnel" say -q "Hello." -o link.wav
check "through a link: it is one still" [ -L link.wav ]
check "through a link: the file" [ "$(head -c 4 far/real.wav)" = RIFF ]
check "through a link: its mode" [ "$(stat -c %a far/real.wav)" = 640 ]
ln -s far/new.srt link.srt
expect 0 "through a link to nothing" "$runnel" transcribe -q in.wav -o link.srt
check "through a link to nothing" [ -L link.srt -a -s far/new.srt ]
printf 'x' > far/model.gguf && chmod 604 far/model.gguf && ln -s far/model.gguf link.gguf
expect 0 "convert through a link" "$runnel" convert -q model.gguf -o link.gguf
check "convert through a link" [ -L link.gguf -a "$(stat -c %a far/model.gguf)" = 604 ]

# ---- Names as long as the system allows
long=$(printf 'x%.0s' $(seq 246))
expect 0 "a long name, say" "$runnel" say -q "Hello. Who are you?" -o "${long}.wav"
expect 0 "a long name, reply" "$runnel" reply -q in.wav -o "${long}a.flac"
cp in.wav "${long}.wav"
expect 0 "a long name, transcribe" "$runnel" transcribe -q "${long}.wav" --output-format srt,json
check "a long name, transcribe" [ -s "$long.srt" -a -s "$long.json" ]
check "a long name: nothing is left" [ -z "$(find . -name 'xxx*' ! -name '*.wav' ! -name '*.flac' \
    ! -name '*.srt' ! -name '*.json')" ]

# ---- A run that is stopped leaves the finished text of an earlier one
python3 - "$question" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as r, wave.open("hours.wav", "wb") as w:
    w.setparams(r.getparams())
    w.writeframes(r.readframes(r.getnframes()) * 300)
PY
stopped() { # stopped COMMAND...: Ctrl-C after some text
    rm -f out # that of an earlier run would have the shell stopped before it is the program
    "$@" > out 2> err < /dev/null &
    local pid=$!
    for _ in $(seq 500); do
        [ -s out ] && break
        sleep 0.01
    done
    kill -INT $pid
    wait $pid
}
set -m # so that Ctrl-C reaches a job in the background
mkdir o
stopped "$runnel" transcribe hours.wav --json --output-dir o
check "stopped: 130" [ $? -eq 130 ]
check "stopped, nothing there before: the part is written" [ -s o/hours.txt ]
echo "the whole text" > o/hours.txt
stopped "$runnel" transcribe hours.wav --json --output-dir o --output-format txt,srt
check "stopped again: 130" [ $? -eq 130 ]
check "stopped: the earlier text stays" [ "$(cat o/hours.txt)" = "the whole text" ]
check "stopped: no part beside it" [ ! -e o/hours.srt ]
check "stopped: told" grep -q "earlier text stays" err
set +m

summary
