#!/usr/bin/env bash
# Texts of any form, from outside: say.sh PROGRAM SOURCE. Arguments are spoken as files are, all
# scripts, byte order marks, lines of a chat that cannot be taken. Ends with `N passed, N failed`.
. "$(dirname "$0")/common.sh"

mark=$'\xef\xbb\xbf'
texts() { # the texts spoken by the last command (with --json), one a line
    python3 -c 'import json
for line in open("out"): print(json.loads(line)["text"])'
}
spoken() { # spoken NAME TEXT...
    local name=$1
    shift
    texts > texts 2>> err
    if [ "$(cat texts)" = "$(printf '%s\n' "$@")" ]; then pass; else
        fail "$name: spoke $(tr '\n' '|' < texts)"
    fi
}

# ---- A text is spoken the same from a file, an argument and standard input
three="The kitchen light is on. In Vienna it is snowy today. A timer is set for ten minutes."
long="$three $three $three"
echo "$long" > long.txt
expect 0 "from a file" "$runnel" say -q -f long.txt -o file.wav
expect 0 "from an argument" "$runnel" say -q "$long" -o argument.wav
check "from an argument: as from a file" cmp file.wav argument.wav
INPUT=long.txt expect 0 "from standard input" "$runnel" say -q - -o input.wav
check "from standard input: as from a file" cmp file.wav input.wav
expect 0 "Markdown in an argument" "$runnel" say -q --json $'# *Hello*\n\nWho are [you](x)?' \
    -o a.wav
spoken "Markdown in an argument" "Hello" "Who are you?"
expect 0 "--plain" "$runnel" say -q --json --plain "# Hello" -o a.wav
spoken "--plain" "# Hello"
check "no folder stays" [ -z "$(find . -name '*.parts')" ]
refuse 5 "blank" "no text" "$runnel" say $' \n\t' -o b.wav
refuse 5 "nothing but marks" "no text" "$runnel" say '...' -o b.wav
refuse 5 "a byte order mark alone" "no text" "$runnel" say "$mark" -o b.wav
check "nothing is left of them" [ -z "$(find . -name 'b.wav*')" ]

# ---- Not one sample: exit code 1 and no file
for text in "hello" "One. Two."; do
    refuse 1 "no sound: $text" "gave no sound" "$runnel" say -q --max-tokens 1 "$text" -o mute.wav
    echo "$text" > mute.txt
    refuse 1 "no sound, -f: $text" "gave no sound" "$runnel" say -q --max-tokens 1 -f mute.txt \
        -o mute.opus
    check "no sound: no file" [ -z "$(find . -name 'mute.wav*' -o -name 'mute.opus*')" ]
done
cp argument.wav older.wav
refuse 1 "no sound over an older file" "gave no sound" "$runnel" say -q --max-tokens 1 a \
    -o older.wav
check "the older file stays" cmp older.wav argument.wav

# ---- Sentence ends of other scripts
cat > stops.txt <<'TEXT'
नमस्ते। आप कैसे हैं। धन्यवाद।
مرحبا؟ كيف حالك؟ شكرا۔ نعم۔

Բարեւ։ Լավ։ ሰላም። ደህና።
TEXT
expect 0 "full stops" "$runnel" say -q --json --max-tokens 40 -f stops.txt -o a.wav
spoken "full stops" नमस्ते। "आप कैसे हैं।" धन्यवाद। مرحبا؟ "كيف حالك؟" شكرا۔ نعم۔ \
    Բարեւ։ Լավ։ ሰላም። ደህና።

# ---- Scripts, comments, code that never ends
printf '%s\n' One. "" "<script>" "let a;" "" "b();" "</script>" "" "<!-- no" "" "no -->" \
    "Two <style>p{}</style>." > html.md
expect 0 "scripts" "$runnel" say -q --json --max-tokens 40 -f html.md -o a.wav
spoken "scripts" One. "Two ."
expect 0 "what never ends" "$runnel" say --max-tokens 40 $'One.\n\n```\nTwo.' -o a.wav
check "what never ends is told" grep -q "line 3 begins code" err
expect 0 "what never ends, plain" "$runnel" say --json --plain --max-tokens 40 \
    $'One.\n\n```\nTwo.' -o a.wav
spoken "what never ends, plain" One. '``` Two.'

# ---- Byte order marks
printf '%s# Head\n\n%sHello.' "$mark" "$mark" > marked.md
expect 0 "a text with marks" "$runnel" say -q --json --max-tokens 40 -f marked.md -o a.wav
spoken "a text with marks" Head Hello.
cp "$question" one.wav
cp "$source/samples/questions/who.wav" two.wav
printf '%sone.wav\r\n%stwo.wav\n' "$mark" "$mark" > list.txt
expect 0 "a list with marks" "$runnel" transcribe -q --list list.txt
check "a list with marks: both" [ "$(wc -l < out)" -eq 2 ]
expect 0 "@list with marks" "$runnel" transcribe -q @list.txt
check "@list with marks: both" [ "$(wc -l < out)" -eq 2 ]
printf '%s{"audio_filepath":"one.wav","text":"turn on the kitchen light"}\n%s\n' "$mark" "$mark" \
    > refs.jsonl
expect 0 "references with marks" "$runnel" eval -q --refs refs.jsonl
printf '%swho are you\n' "$mark" > lines
INPUT=lines expect 0 "a chat with a mark" "$runnel" chat -q --mode text
cp out marked
echo "who are you" > lines
INPUT=lines expect 0 "a chat" "$runnel" chat -q --mode text
check "a chat with a mark: the same" cmp out marked

# ---- A line of a chat that cannot be taken
bad_line() { # bad_line NAME PATTERN LINE: the second of three
    printf 'who are you\n%b\nthank you\n' "$3" > lines
    INPUT=lines expect 5 "$1" "$runnel" chat -q --mode text
    check "$1: told" grep -q "$2" err
    check "$1: the line is told" grep -q "line 2 is passed over" err
    check "$1: the other lines are answered" [ "$(wc -l < out)" -eq 2 ]
    check "$1: nothing of it stays" cmp out good
}
printf 'who are you\nthank you\n' > lines
INPUT=lines expect 0 "two lines" "$runnel" chat -q --mode text
cp out good
bad_line "a missing file" "nosuch.wav" "@nosuch.wav"
bad_line "a missing second file" "nosuch.wav" "listen @one.wav and @nosuch.wav"
bad_line "no sound" "lines" "@lines"
bad_line "not UTF-8" "UTF-8" "@one.wav caf\\0351"
bad_line "a NUL byte" "NUL" "a\\0000b"

summary
