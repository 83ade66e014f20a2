#!/bin/bash
# Model files as other programs name, split, merge and store them: layouts.sh PROGRAM SOURCE.
# Most are made of the test data by tests/support/layouts.py.
. "$(dirname "$0")/common.sh"
data=$source/tests/data
layouts() { python3 "$source/tests/support/layouts.py" "$@"; }

# set FOLDER MAIN: the main file, and beside it the other three of the F16 set under its name.
set_of() {
    local folder=$1 name
    name=$(basename "$2")
    mkdir -p "$folder"
    cp "$2" "$folder/$name"
    for role in mmproj vocoder tokenizer; do
        ln -s "$data/gguf/$role-tiny-F16.gguf" "$folder/$role-$name"
    done
}

# --- Japanese: known by any of its names, as a word ---
japanese() { # japanese NAME FILE: 9 frames and its prompts
    expect 0 "$1" "$runnel" info "$2"
    holds "$1" "6 text tokens and 9 frames"
    expect 0 "$1: converted" "$runnel" convert -q "$2" -o bundle.gguf
    check "$1: prompts" grep -aq "Perform ASR in japanese" bundle.gguf
    rm -f bundle.gguf
}
english() {
    expect 0 "$1" "$runnel" info "$2"
    holds "$1" "6 text tokens and 12 frames"
}
main=$data/gguf/jp-main-by-llama.cpp.gguf # general.name is a title, "LFM2.5 Audio 1.5B JP"
set_of title "$main"
japanese "title" title/jp-main-by-llama.cpp.gguf
cp "$main" copy.gguf
set_of copy copy.gguf
japanese "title, another file name" copy/copy.gguf
layouts key "$main" nameless.gguf general.name
set_of finetune nameless.gguf
japanese "general.finetune alone" finetune/nameless.gguf
layouts key nameless.gguf LFM2.5-Audio-1.5B-JP-Q4_0.gguf general.finetune
set_of file LFM2.5-Audio-1.5B-JP-Q4_0.gguf
japanese "the file's name alone" file/LFM2.5-Audio-1.5B-JP-Q4_0.gguf
layouts key "$main" hyphens.gguf general.name LFM2.5-Audio-1.5B-JP
set_of hyphens hyphens.gguf
japanese "hyphens" hyphens/hyphens.gguf
layouts key nameless.gguf x-JPEG.gguf general.finetune
set_of a-JP/jpeg x-JPEG.gguf
english "no word of its own, and a folder above" a-JP/jpeg/x-JPEG.gguf
mkdir x-JPEG y-JP
ln -s "$data/tiny" x-JPEG/tiny
ln -s "$data/tiny" y-JP/tiny
for folder in x-JPEG/tiny/ y-JP/tiny// y-JP/tiny; do
    expect 0 "$folder" "$runnel" info --json "$folder"
    holds "$folder" '"name":"tiny"'
    expect 0 "$folder: converted" "$runnel" convert -q "$folder" -o bundle.gguf
    check "$folder: prompts" grep -aq "Perform ASR\.[^ ]" bundle.gguf
    rm -f bundle.gguf
done

summary
