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
[ "$(wc -l < "$2/samples/hello.c")" -lt 60 ] || { echo "hello.c has 60 lines or more"; exit 1; }
echo "1 passed, 0 failed"
