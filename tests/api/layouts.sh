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

# --- Split, joined, and split into one part ---
tensors() { # tensors NAME COUNT MODEL: of the bundle made of it
    expect 0 "$1: converted" "$runnel" convert -q "$3" -o bundle.gguf
    check "$1: tensors" [ "$(layouts tensors bundle.gguf)" = "$2" ]
    rm -f bundle.gguf
}
answer() { # answer MODEL NAME: greedy; its frames and its sound
    "$runnel" reply --exact --json -q -m "$1" --audio-temp 0 --max-tokens 24 "$question" \
        -o "$2.wav" 2> err | sed 's/.*"text_tokens"/"text_tokens"/; s/"times".*//' > "$2.frames"
}
frames_of() { # frames_of NAME MODEL: those of the F16 set
    answer "$2" other
    check "$1: frames" cmp -s set.frames other.frames
    check "$1: sound" cmp -s set.wav other.wav
    check "$1: not one word" [ ! -s err ]
}
answer "$tiny" set
for count in 0 1; do
    layouts splitkeys "$tiny" whole$count.gguf $count
    set_of whole$count whole$count.gguf
    frames_of "split.count $count" whole$count/whole$count.gguf
done
mkdir split bare one
for role in mmproj vocoder tokenizer; do
    ln -s "$data/gguf/$role-tiny-F16.gguf" split/$role-x-F16.gguf
    layouts split "$data/gguf/$role-tiny-F16.gguf" bare/$role-x-F16 2 bare
done
layouts split "$tiny" split/x-F16 3
layouts split "$tiny" bare/x-F16 4 bare
for part in 1 2 3; do frames_of "part $part" split/x-F16-0000$part-of-00003.gguf; done
frames_of "every file is split" bare/x-F16-00003-of-00004.gguf
expect 0 "bundle" "$runnel" convert -q "$tiny" -o one.gguf
layouts split one.gguf one/one 2
frames_of "a split bundle" one/one-00002-of-00002.gguf
mv split/x-F16-00002-of-00003.gguf second.gguf
refuse 3 "a part is missing" "x-F16-00002-of-00003.gguf.*is missing" "$runnel" info \
    split/x-F16-00003-of-00003.gguf
refuse 3 "a part that lost its name" "names back" "$runnel" info second.gguf
cp bare/x-F16-00002-of-00004.gguf split/x-F16-00002-of-00003.gguf
refuse 3 "a part of another split" "do not belong together" "$runnel" info \
    split/x-F16-00001-of-00003.gguf

# --- Parts of another quantisation, or behind a prefix ---
names() { # names FOLDER MAIN MMPROJ VOCODER TOKENIZER: the F16 set under these names
    mkdir -p "$1"
    cp "$tiny" "$1/$2"
    for role in mmproj vocoder tokenizer; do
        [ -z "$3" ] || ln -s "$data/gguf/$role-tiny-F16.gguf" "$1/$3"
        set -- "$1" "$2" "${4:-}" "${5:-}"
    done
}
all() { # all NAME FILE: it can do everything
    expect 0 "$1" "$runnel" info "$2"
    holds "$1" "can do: spoken conversation, transcription, speaking, text"
}
names mixed m-Q4_0.gguf mmproj-m-F16.gguf vocoder-m-Q8_0.gguf tokenizer-m.gguf
all "other quantisations" mixed/m-Q4_0.gguf
names plain m.gguf mmproj-m-bf16.gguf vocoder-m.Q4_K_M.gguf tokenizer-m-IQ4_NL.gguf
all "the main file has no quantisation in its name" plain/m.gguf
names prefix a_b_m-F16.gguf a_b_mmproj-m-F16.gguf a_b_vocoder-m-F16.gguf a_b_tokenizer-m-Q8_0.gguf
all "behind a prefix" prefix/a_b_m-F16.gguf
cd mixed || exit 1
all "in the working folder" m-Q4_0.gguf
cd "$work" || exit 1
names v1 LFM2-Audio-1.5B-Q8_0.gguf mmproj-audioencoder-LFM2-Audio-1.5B-Q8_0.gguf \
    audiodecoder-LFM2-Audio-1.5B-Q8_0.gguf
expect 0 "v1" "$runnel" info v1/LFM2-Audio-1.5B-Q8_0.gguf
holds "v1: the encoder" "can do: transcription, text"
holds "v1: the sound" "missing: .*audiodecoder-.*Hugging Face"
names rivals m-Q4_0.gguf mmproj-m-F16.gguf vocoder-m-F16.gguf tokenizer-m-F16.gguf
cp rivals/mmproj-m-F16.gguf rivals/mmproj-m-Q8_0.gguf
expect 0 "rivals" "$runnel" info rivals/m-Q4_0.gguf
holds "rivals are named" "missing: the encoder: mmproj-m-F16.gguf, mmproj-m-Q8_0.gguf"
expect 0 "rivals: one is named" "$runnel" info --mmproj rivals/mmproj-m-F16.gguf rivals/m-Q4_0.gguf
holds "rivals: one is named" "spoken conversation, transcription"
names others m-Q4_0.gguf mmproj-m-JP-F16.gguf vocoder-mm-F16.gguf tokenizer-m-2-F16.gguf
expect 0 "parts of other models" "$runnel" info others/m-Q4_0.gguf
holds "parts of other models" "can do: text"

# --- What a file says steers no terminal: its name, its keys, the names of its tensors ---
steers() { # steers NAME: nothing that a terminal obeys in what was shown
    if LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f\x7f]\|\xc2[\x80-\x9f]' out err; then
        fail "$1: a control character was shown"
    else
        pass
    fi
}
title=$'\e]0;owned\a\e[2J\xc2\x9b31m'
layouts key "$tiny" hostile.gguf general.name "$title"
expect 0 "hostile name" "$runnel" info hostile.gguf
holds "hostile name" "^?\]0;owned??\[2J?31m: GGUF set"
steers "hostile name"
layouts key "$tiny" hostile.gguf general.architecture "$title"
refuse 3 "hostile architecture" "architecture '?]0;owned" "$runnel" info hostile.gguf
steers "hostile architecture"
mkdir hostile
cp -r "$data/tiny/"*.json "$data/tiny/audio_detokenizer" hostile
layouts foreign "$data/tiny/model.safetensors" hostile/model.safetensors "$title" \
    lfm.layers.1.feed_forward.w1.weight lfm.layers.1.feed_forward.w1.weight
refuse 3 "hostile dtype" "is ?]0;owned" "$runnel" info hostile
steers "hostile dtype"
cp "$tiny" "$title.gguf"
cp "$data/gguf/mmproj-tiny-F16.gguf" "mmproj-$title-F16.gguf"
cp "$data/gguf/mmproj-tiny-F16.gguf" "mmproj-$title-Q4_0.gguf"
expect 0 "hostile file names" "$runnel" info "$title.gguf"
steers "hostile file names"
rm -f "$title.gguf" mmproj-*
mkdir scanned
cp "$question" "scanned/a$title.wav"
echo "no sound" > "scanned/b$title.wav"
expect 5 "a scanned folder" "$runnel" transcribe scanned
holds "a scanned folder" "^scanned/a?]0;owned??\[2J?31m.wav: "
check "a scanned folder: the other one" grep -q "scanned/b?]0;owned" err
steers "a scanned folder"

# --- Queries, keys and values in one matrix, of any type ---
mkdir fused
for role in "" tokenizer-; do
    layouts fuse "$data/gguf/${role}tiny-F16.gguf" fused/${role}x-F16.gguf
done
for role in mmproj vocoder; do ln -s "$data/gguf/$role-tiny-F16.gguf" fused/$role-x-F16.gguf; done
frames_of "fused" fused/x-F16.gguf
tensors "fused" 281 fused/x-F16.gguf
expect 0 "F16 to Q4_0" "$runnel" convert -q "$tiny" -o one.gguf --type q4_0
expect 0 "Q4_0, apart" "$runnel" dump hidden -q -m one.gguf "$question" -o apart.npy --max-tokens 8
layouts fuse one.gguf one.gguf
expect 0 "Q4_0, fused" "$runnel" dump hidden -q -m one.gguf "$question" -o fused.npy --max-tokens 8
check "Q4_0: the same numbers" cmp -s apart.npy fused.npy
layouts halved fused/x-F16.gguf cut.gguf blk.2.attn_qkv.weight
refuse 3 "fused, rows missing" "attn_qkv.weight' has not the rows of 4 query and 2" "$runnel" \
    info cut.gguf

# --- Tensors of a kind that Runnel does not read ---
folder_of() { # folder_of NAME: tiny, but for its weights
    mkdir "$1"
    cp "$data/tiny/"*.json "$1"
    chmod u+w "$1"/*
    ln -s "$data/tiny/audio_detokenizer" "$1/audio_detokenizer"
}
answer "$data/tiny" folder
for kind in U8 BOOL F8_E4M3 U32 F6_OF_TOMORROW empty; do
    folder_of $kind
    layouts foreign "$data/tiny/model.safetensors" $kind/model.safetensors $kind \
        depth_embeddings.0.to_logits.weight
    answer $kind $kind
    check "a needless $kind: sound" cmp -s folder.wav $kind.wav
done
tensors "a needless U32" 281 U32
folder_of needed
layouts foreign "$data/tiny/model.safetensors" needed/model.safetensors F8_E4M3 \
    lfm.layers.1.feed_forward.w1.weight lfm.layers.1.feed_forward.w1.weight
refuse 3 "a needed F8" "blk.1.ffn_gate.weight' is F8_E4M3.*BF16" "$runnel" info needed
quantised() { # quantised NAME SECTION PATTERN: a needed tensor, and a config that says why
    sed "1s/^{/{ $2,/" "$data/tiny/config.json" > needed/config.json
    refuse 3 "$1" "$3" "$runnel" info needed
}
quantised "MLX" '"quantization": {"group_size": 64, "bits": 4}' "quantised (MLX, 4 bits).*original"
quantised "FP8" '"quantization_config": {"quant_method": "fp8"}' "quantised (fp8).*original"

# --- Names of another class: of the whole, or of a part ---
folder_of foreign
for names in "lfm. model.text_tower." "conformer. model.audio_tower." "depth other.depth"; do
    layouts renamed "$data/tiny/model.safetensors" foreign/model.safetensors $names
    refuse 3 "$names" "'${names#* }.*original" "$runnel" info foreign
done

# --- Folders: shards without an index, Hugging Face's cache, downloads of a GGUF repository ---
same() { # same NAME MODEL: the folder's frames and sound
    answer "$2" other
    check "$1: frames" cmp -s folder.frames other.frames
    check "$1: sound" cmp -s folder.wav other.wav
}
folder_of loose
layouts shards "$data/tiny/model.safetensors" loose 3
same "shards without an index" loose
mv loose/model-00002-of-00003.safetensors shard
refuse 3 "a shard is missing" "model-00002-of-00003.safetensors: this shard.*missing" \
    "$runnel" info loose
cache=hub/models--LiquidAI--LFM2.5-Audio-1.5B-JP
revision=0123456789abcdef0123456789abcdef01234567
mkdir -p $cache/blobs $cache/refs $cache/snapshots
cp -r "$data/tiny" $cache/snapshots/$revision
chmod -R u+w $cache
mv $cache/snapshots/$revision/model.safetensors $cache/blobs/sha
ln -s ../../blobs/sha $cache/snapshots/$revision/model.safetensors
printf '%s\n' $revision > $cache/refs/main
same "cache" $cache
same "cache with a slash" $cache/
same "snapshot" $cache/snapshots/$revision
expect 0 "cache: name" "$runnel" info --json $cache
holds "cache: name" '"name":"LFM2.5-Audio-1.5B-JP"'
rm $cache/refs/main
same "cache without refs/main" $cache
mkdir $cache/snapshots/other
refuse 3 "cache of two revisions" "holds 2 revisions" "$runnel" info $cache
printf ../../.. > $cache/refs/main
refuse 3 "refs/main leads out" "revisions" "$runnel" info $cache
printf gone > $cache/refs/main
refuse 3 "refs/main names what is gone" "snapshot gone .*not there" "$runnel" info $cache
ggufs=hub/models--LiquidAI--x-GGUF
mkdir -p $ggufs/refs $ggufs/snapshots
ln -s "$PWD/split" $ggufs/snapshots/$revision # parts of a split main file, and one of another
printf $revision > $ggufs/refs/main
cp second.gguf split/x-F16-00002-of-00003.gguf
frames_of "GGUF repository in the cache" $ggufs
frames_of "folder of a GGUF repository" split
cp "$data/gguf/tiny-Q4_0.gguf" "$tiny" mixed
refuse 2 "folder with several models" "3 models in it; name one of m-Q4_0.gguf, tiny-F16" \
    "$runnel" info mixed
mkdir parts-only
cp "$data/gguf/mmproj-tiny-F16.gguf" parts-only
refuse 3 "folder of parts alone" "config.json" "$runnel" info parts-only

# --- Git LFS pointers ---
pointer="version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345"
printf '%s\n' "$pointer" > pointer.gguf
refuse 3 "pointer as GGUF" "Git LFS pointer.*git lfs pull" "$runnel" info pointer.gguf
folder_of pointers
for name in model.safetensors tokenizer.json config.json; do
    cp pointer.gguf pointers/$name
    refuse 3 "pointer as $name" "$name: this is a Git LFS pointer" "$runnel" info pointers
    [ $name = config.json ] || cp "$data/tiny/$name" pointers
done

# --- info counts what is used: no batch norms that were folded, counters, needless heads ---
counts() { # counts NAME MODEL TENSORS...: of each part, and of what is not used
    local name=$1
    expect 0 "$name" "$runnel" info "$2"
    shift 2
    check "$name: tensors" [ "$(sed -n '/^weights/,/^$/p' out |
        sed -n 's/^\([a-z][a-z ]*[a-z]\)  *[0-9.]*  *\([0-9][0-9]*\)\( .*\)*$/\1 \2/p' |
        tr '\n' ' ')" = "$* " ]
}
all4="backbone 56 encoder 129 depthformer 37 codec 59"
counts "the set" "$tiny" "$all4"
counts "the folder" "$data/tiny" "$all4 not used 16"
counts "a head that the table stands for" U32 "$all4 not used 17"
mkdir silent
cp "$tiny" "$data/gguf/vocoder-tiny-F16.gguf" silent
counts "codes without sound" silent/tiny-F16.gguf "backbone 56 depthformer 37 not used 2"
expect 0 "bytes" "$runnel" info --json "$data/tiny"
check "bytes are those of the parts" python3 -c '
import json
o = json.load(open("out"))
assert o["bytes"] == sum(p["bytes"] for p in o["parts"].values())'

# --- The tokenizer file is no model; added tokens in the wrong place are told of ---
for file in "$data/gguf/tokenizer-tiny-F16.gguf" tokenizer-x.gguf; do
    [ -e "$file" ] || "$runnel" convert -q "$tiny" -o x.gguf --format set
    refuse 3 "tokenizer file as main" "one part of a model" "$runnel" info "$file"
done
layouts key tokenizer-x.gguf none.gguf tokenizer.ggml.model none
refuse 3 "a model without a vocabulary" "one part of a model" "$runnel" info none.gguf
folder_of moved
ln -s "$data/tiny/model.safetensors" moved
sed 's/"added_tokens": *\[/&{"id": 70000, "content": "<|far|>", "special": true},/' \
    "$data/tiny/tokenizer.json" > moved/tokenizer.json
expect 0 "an added token beyond the rows" "$runnel" info moved
check "an added token beyond the rows is told of" grep -q "1 added tokens have ids" err
expect 0 "it has another id" "$runnel" tokenize -m moved "<|far|>"
holds "it has another id" "1200"

# --- The older vocoder holds the detokenizer, and there is no tokenizer file ---
mkdir merged half both
expect 0 "set of tiny" "$runnel" convert -q "$data/tiny" -o merged/x.gguf --format set
mv merged/vocoder-x.gguf merged/tokenizer-x.gguf .
detokenizer=$data/tiny/audio_detokenizer/model.safetensors
layouts merged vocoder-x.gguf "$detokenizer" merged/vocoder-x.gguf
layouts merged vocoder-x.gguf "$detokenizer" half/vocoder-x.gguf f16
cp merged/vocoder-x.gguf tokenizer-x.gguf both
for folder in half both; do cp merged/x.gguf merged/mmproj-x.gguf $folder; done
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
