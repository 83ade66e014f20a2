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

# --- The older vocoder holds the detokenizer, and there is no tokenizer file ---
answer() { # answer MODEL NAME: greedy; its frames and its sound
    "$runnel" reply --exact --json -q -m "$1" --audio-temp 0 --max-tokens 60 "$question" \
        -o "$2.wav" 2> err | sed 's/.*"text_tokens"/"text_tokens"/; s/"times".*//' > "$2.frames"
}
tensors() { # tensors NAME COUNT MODEL: of the bundle made of it
    expect 0 "$1: converted" "$runnel" convert -q "$3" -o bundle.gguf
    check "$1: tensors" [ "$(layouts tensors bundle.gguf)" = "$2" ]
    rm -f bundle.gguf
}
mkdir merged half both
expect 0 "set of tiny" "$runnel" convert -q "$data/tiny" -o merged/x.gguf --format set
mv merged/vocoder-x.gguf merged/tokenizer-x.gguf .
detokenizer=$data/tiny/audio_detokenizer/model.safetensors
layouts merged vocoder-x.gguf "$detokenizer" merged/vocoder-x.gguf
layouts merged vocoder-x.gguf "$detokenizer" half/vocoder-x.gguf f16
cp merged/vocoder-x.gguf tokenizer-x.gguf both
for folder in half both; do cp merged/x.gguf merged/mmproj-x.gguf $folder; done
answer "$data/tiny" folder
for folder in merged half both; do
    answer $folder/x.gguf $folder
    check "$folder: frames" cmp -s folder.frames $folder.frames
    check "$folder: not one word" [ ! -s err ]
    tensors $folder 281 $folder/x.gguf
    expect 0 "$folder: info" "$runnel" info $folder/x.gguf
    check "$folder: of the codec" grep -q "^backbone .* 56  " out
    holds "$folder: info" "width 64, 4 heads of 16, feed-forward 128, 3 taps, window 30"
done
check "merged: sound" cmp -s folder.wav merged.wav
check "both: sound" cmp -s folder.wav both.wav
check "half: sound" layouts near folder.wav half.wav 0.02
rm both/tokenizer-x.gguf
layouts without both/vocoder-x.gguf no.gguf lfm.layers.1.operator_norm.weight
mv no.gguf both/vocoder-x.gguf
refuse 3 "merged, a layer incomplete" "blk.1.attn_norm" "$runnel" info both/x.gguf

summary
