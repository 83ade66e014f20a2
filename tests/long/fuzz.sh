#!/usr/bin/env bash
# Every fuzz program (or those of RUNNEL_FUZZ_NAMES) for RUNNEL_FUZZ_SECONDS each (600), as many at
# a time as there are processors: fuzz.sh SOURCE BUILD. Corpora begin with the reference data,
# sounds with what the program says. Ends with `N passed, N failed`; a finding is left in
# BUILD/findings.
set -uo pipefail
source=$1 build=$2 seconds=${RUNNEL_FUZZ_SECONDS:-600}
command -v clang > /dev/null || { echo "skipped: clang is not installed"; exit 77; }
cd "$source" || exit 1
all=$(basename -s .c -a tests/fuzz/fuzz_*.c | sed 's/^fuzz_//' | tr '\n' ' ')
read -ra programs <<< "${RUNNEL_FUZZ_NAMES:-$all}"
targets=(fuzz_programs) # make builds several targets one after the other
[ -z "${RUNNEL_FUZZ_NAMES:-}" ] || targets=("${programs[@]/#/fuzz_}")
cmake --preset fuzz --log-level=NOTICE > /dev/null && cmake --build --preset fuzz -j"$(nproc)" \
    --target "${targets[@]}" > "$build/fuzz-build.log" 2>&1 ||
    { tail "$build/fuzz-build.log"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$build/findings"
for name in $all; do mkdir "$work/$name"; done
head -c 60000 tests/data/gguf/tiny-Q4_0.gguf > "$work/gguf/a"
cp tests/data/gguf/mmproj-tiny-F16.gguf "$work/gguf/b"
python3 - "$work/split" << 'PYTHON'
import os, struct, sys
sys.path.insert(0, "tests/support")
from layouts import split_keys, write_gguf
parts = []
for i in range(2):
    path = "%s/part" % sys.argv[1]
    tensors = [(b"t%d" % k, (8,), 0, bytes(32)) for k in range(i, 2 * i + 1)]
    write_gguf(path, split_keys(i, 2, 3), tensors)
    parts.append(open(path, "rb").read())
os.remove(path)
open(sys.argv[1] + "/a", "wb").write(struct.pack("<H", len(parts[0])) + parts[0] + parts[1])
PYTHON
cp tests/data/tiny/variant-tts.safetensors "$work/safetensors/a"
cp tests/data/tiny/tokenizer.json "$work/tokenizer/a"
cp tests/data/text/cases.json "$work/text/a"
for suffix in wav flac opus; do
    "$build/runnel" say -q --max-tokens 6 Yes -o "$work/sound/a.$suffix"
done
for kind in 1 2; do # 1: an Opus stream, 2: a RIFF stream
    suffix=wav
    [ $kind -eq 1 ] && suffix=opus
    { printf "\\00$kind"; head -c 20000 "$work/sound/a.$suffix"; } > "$work/stream/$kind"
done
for file in tests/data/vl/images/*; do # behind the size of another one
    { printf '\100\006\260\004'; head -c 20000 "$file"; } > "$work/picture/$(basename "$file")"
done
printf '# list\r\none.wav\n-\n\ntwo.opus\none.wav' > "$work/inputs/a"
{ printf '\074'; cat README.md; } > "$work/script/a"
{ printf '\075'; cat docs/ARCHITECTURE.md; } > "$work/script/b"
row='{"audio_filepath": "a.wav", "text": "Turn on the light.", "duration": 1.5}'
printf '%s\n\n%s\n' "$row" "$row" > "$work/refs/a"
"$build/runnel" perplexity -q -m tests/data/quality/base --ids tests/data/quality/ids.npy \
    --context 32 --chunks 2 --save-logits "$work/logits/a" > /dev/null
{ printf '\000'; cat tests/data/lora/adapter.gguf; } > "$work/lora/a"
adapter=tests/data/lora/adapter
size=$(stat -c %s $adapter/adapter_config.json)
{ printf "\\001\\x$(printf %02x $((size % 256)))\\x$(printf %02x $((size / 256)))"
  cat $adapter/adapter_config.json $adapter/adapter_model.safetensors; } > "$work/lora/b"
row='{"input":"one.wav","size":32044,"changed":1,"settings":"settings","seconds":1}'
printf '%s\n%s' "$row" "$row" > "$work/manifest/a"
printf '3/8' > "$work/manifest/b"
schema='{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"enum":[1,12,null]}]},'
schema+='"b":{"type":"array","items":{"$ref":"#"},"minItems":1,"maxItems":2}},"required":["b"],'
schema+='"additionalProperties":{"type":"number"}}'
length() { printf '\\x%02x\\x%02x' $((${#1} / 256)) $((${#1} % 256)); }
{ printf "$(length "$schema")"; printf '%s{"a":"x","b":[{"b":[]}],"c":1.5e3}' "$schema"; } \
    > "$work/schema/a"
printf '\000\034{"type":"string","enum":[0]}x' > "$work/schema/b" # no value is possible
list='[{"name":"f","parameters":'$schema'},"{\"name\":\"g\"}","text"]'
{ printf "$(length "$list")"; printf "%s[f(a='x', b=[{}], c=-1), g()]" "$list"; } > "$work/tools/a"
python3 - "$work/conversation" << 'PYTHON'
import json, sys
for i, c in enumerate(json.load(open("tests/data/family/text/chat.json"))["cases"].values()):
    json.dump(c, open("%s/%d" % (sys.argv[1], i), "w"))
PYTHON
{ printf '\004'; head -n 3 tests/data/quality/tasks/facts.jsonl; } > "$work/tasks/a"
{ printf '\006'; head -n 3 tests/data/quality/tasks/sums.jsonl; } > "$work/tasks/b"
text='{"type":"interleaved","text":"yes","codes":"c"}'
printf '\000%s%s' '{"messages":[{"role":"user","content":[{"type":"audio","audio":"a"}]},' \
    '{"role":"assistant","content":['"$text"',{"type":"audio","codes":"cd"}]}]}' > "$work/train/a"
printf '\000{"prompt":"one","completion":"two"}' > "$work/train/b"
space='{"device":"made-up","d":96,"heads":4,"params":1000000,"vocab":512,"ff_multiple":16'
{ printf '\000'; printf '%s,"limits":{"loss":{"times_first":2}}}' "$space"; } > "$work/search/a"
"$build/runnel" search -q --evaluations 12 --population 4 --max-decode-ms 20 -o "$work/searched" \
    --space <(printf '%s}' "$space") > /dev/null
{ printf '\001'; cat "$work/searched/log.jsonl"; } > "$work/search/b"
cat docs/*.md | head -c 90000 > "$work/corpus"
space='{"d":64,"heads":4,"blocks":3,"params":150000,"vocab":256,"ff_multiple":32,"tolerance":0.1,'
space+='"population":3,"evaluations":4,"recall_steps":1,"text_steps":1,"rounds":1,"again":0,'
printf '%s"reference":"tests/data/measure/plain.json"}' "$space" > "$work/space"
"$build/runnel" search -q --space "$work/space" --corpus "$work/corpus" -o "$work/here" > /dev/null
{ printf '\002'; cat "$work/here/log.jsonl"; } > "$work/search/c"
printf '\001{"audio":"a","text":"two"}' > "$work/train/c"
printf '\002{"codes":"c","text":"two","voice":"uk-male"}' > "$work/train/d"
printf '\000{"question_audio":"a","answer_text":"two","answer_codes":"c"}' > "$work/train/e"
# Calls (fuzz_session.c, fuzz_live.c): clip, begin, the whole reply, again and again; a question.
for way in 3 5; do
    printf "\\00$way" > "$work/session/$way"
    for _ in 1 2 3 4 5 6 7 8; do
        printf '\003\310\000\007\012\003\023\000\000' >> "$work/session/$way"
    done
done
printf '\000\005\000\143\000\143\010\143\010\143' > "$work/live/a"
printf '\200\005\026\377\000\143\000\143\010\143\000\143\010\143' > "$work/live/b"
part='Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'
printf '\007\000--b\r\n%b\r\n\r\nRIFF\r\n--b\r\n%b\r\n\r\n\r\n--b--' "$part" "$part" \
    > "$work/serve_multipart/a"
for file in tests/data/serve/requests/*-chat-*.txt; do # body behind the byte of the model
    { printf '\000'; sed '1,/^$/d' "$file"; } > "$work/serve_chat/$(basename "$file")"
done
printf '\001%s' "$(head -c 300 LICENSE | base64 -w 0)" > "$work/serve_sound/a"
head -c 300 LICENSE > "$work/serve_json/a"
cp tests/data/stack/all/config.json "$work/stack/a"
cp tests/data/dense/taps5/config.json "$work/stack/b"
# Events of a client, and letters for what else happens (fuzz_serve_realtime.c).
printf '\002qvvvvvvvvvqqqqq\nbtstssssswwwwwwww\nvvvvvvvvvvvqqqqqqbtste' > "$work/serve_realtime/a"
item='{"type":"conversation.item.create","item":{"id":"a","type":"message","role":"user","content":'
item+='[{"type":"input_text","text":"Hi"}]}}'
manual='{"type":"session.update","session":{"audio":{"input":{"turn_detection":null}}}}'
commit='{"type":"input_audio_buffer.commit"}' create='{"type":"response.create","response":{}}'
alone='{"type":"response.create","response":{"conversation":"none","input":'
alone+='[{"type":"item_reference","id":"a"}]}}'
truncate='{"type":"conversation.item.truncate","item_id":"a","content_index":0,"audio_end_ms":9}'
printf '\003%s\n%s\nvvvv\n%s\n%s\nbtscce\n%s\nbtse\n%s\n{"type":"response.cancel"}' "$item" \
    "$manual" "$commit" "$create" "$alone" "$truncate" > "$work/serve_realtime/b"
git=0123456789abcdef0123456789abcdef01234567
large='{"type":"file","path":"L-Q8_0.gguf","size":9,"oid":"'$git'",'
large+='"lfs":{"oid":"'$git${git:0:24}'","size":9,"pointerSize":1}}'
small='{"type":"file","path":"d/config.json","size":5,"oid":"'$git'"}'
printf '[%s,%s]' "$large" "$small" > "$work/hub/a"
printf '{"sha":"%s","cardData":{"license":"mit"}}' "$git" > "$work/hub/b"
printf 'LiquidAI/LFM2.5-Audio-1.5B-GGUF:Q4_0@refs/pr/1' > "$work/hub/c"

run_one() {
    local name=$1 status=0 how=(-max_len=65536 -timeout=30)
    # Orders of calls: so many bytes are looked at, short ones find nothing, and each is a talk.
    case $name in session | live) how=(-max_len=200 -len_control=0 -timeout=120) ;; esac
    "build/fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" "${how[@]}" \
        -rss_limit_mb=4096 -close_fd_mask=3 -artifact_prefix="$build/findings/$name-" \
        "$work/$name" > "$work/$name.log" 2>&1 || status=1
    echo "fuzz_$name: $(grep '^Done' "$work/$name.log" || tail -1 "$work/$name.log")," \
        "$(sed -n 's/.* \(cov: [0-9]*\).*/\1/p' "$work/$name.log" | tail -1)"
    [ $status -eq 0 ] || touch "$work/$name.failed"
}
for name in "${programs[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    run_one "$name" &
done
wait
failed=$(find "$work" -name '*.failed' | wc -l)
echo "$((${#programs[@]} - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
