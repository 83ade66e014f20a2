#!/usr/bin/env bash
# samples/hello.c: hello.sh PROGRAM SOURCE. A spoken question gets the right text and a sound.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
text=$("$1" "$2/samples/minnow/minnow.gguf" "$2/samples/questions/light.wav" "$folder/answer.wav")
echo "answer: $text"
[ "$text" = "The kitchen light is on." ] || { echo "0 passed, 1 failed"; exit 1; }
size=$(stat -c %s "$folder/answer.wav")
[ "$size" -gt 48000 ] || { echo "the answer has $size bytes"; echo "0 passed, 1 failed"; exit 1; }
# A text model, and the main file of a set alone: a sentence, and no file.
mkdir "$folder/alone"
cp "$2/tests/data/gguf/tiny-F16.gguf" "$folder/alone"
for model in "$2"/tests/data/dense/* "$folder/alone/tiny-F16.gguf"; do
    code=0
    said=$("$1" "$model" "$2/samples/questions/light.wav" "$folder/none.wav" 2>&1) || code=$?
    echo "$code: $said"
    if [ "$code" != 1 ] || [[ "$said" != hello:* ]] || [ -e "$folder/none.wav" ]; then
        echo "0 passed, 1 failed"
        exit 1
    fi
done
[ "$(wc -l < "$2/samples/hello.c")" -lt 60 ] || { echo "hello.c has 60 lines or more"; exit 1; }
echo "1 passed, 0 failed"
