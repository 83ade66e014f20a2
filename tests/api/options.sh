#!/usr/bin/env bash
# What each option does, where defaults come from, what --json tells: options.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"
folder=$source/tests/data/tiny # random weights: its answers depend on every setting

# field EXPRESSION: of the JSON object o in out, o2 in before; prints the value.
field() {
    python3 - "$1" "$work" <<'PY'
import json, os, sys
def first(name):
    path = os.path.join(sys.argv[2], name)
    lines = open(path).read().splitlines() if os.path.exists(path) else []
    return [json.loads(line) for line in lines] or [None]
all_of = first("out")
o, o2 = all_of[0], first("before")[0]
print(eval(sys.argv[1]))
PY
}
is() { # is NAME EXPRESSION: the expression is true
    local got
    got=$(field "$2" 2>> err)
    if [ "$got" = True ]; then pass; else fail "$1: $2 is $got"; fi
}
keep() { cp out before; }

# ---- The common options are taken by every command that generates
common=(-m "$folder" -t 1 -q --exact --system "Be brief." --temp 0.7 --top-k 5 --audio-temp 0.9
    --audio-top-k 4 --seed 3 --max-tokens 20 --interleave 5:7 --context 256 --max-seconds 10
    --memory 1G)
expect 0 "reply, all options" "$runnel" reply "${common[@]}" --json "$question" -o a.wav
expect 0 "transcribe, all options" "$runnel" transcribe "${common[@]}" --json "$question"
expect 1 "say, all options" "$runnel" say "${common[@]}" --json hello -o a.wav # no sound yet
expect 0 "chat, all options" "$runnel" chat "${common[@]}" --json hello
expect 0 "dump, all options" "$runnel" dump mel "${common[@]}" "$question" -o a.npy

# ---- --json: the same fields of all four, one object a turn
fields='{"text","text_tokens","modality","frames","finish","times"}'
for command in "reply $question -o a.wav" "transcribe $question" "say hello -o a.wav" "chat hello" \
    "chat --mode text hello"; do
    expect 0 "$command --json" "$runnel" $command --json --max-tokens 200
    is "$command: fields" "$fields <= set(o) and len(all_of) == 1"
    is "$command: types" "all(type(i) is int for i in o['text_tokens']) and \
        all(len(f) == 8 for f in o['frames']) and set(o['modality']) <= {'t', 'a'}"
    is "$command: counts" "o['modality'].count('t') == len(o['text_tokens']) and \
        o['modality'].count('a') == len(o['frames'])"
    is "$command: times" "0 < o['times'].get('first_text_ms', o['times'].get('first_sound_ms')) \
        <= o['times']['total_ms']"
done
expect 0 "two turns" "$runnel" reply --json "$question" "$source/samples/questions/who.wav" -o two
is "two turns: two objects" "len(all_of) == 2 and all_of[1]['text'].startswith('I am minnow')"
is "two turns: files" \
    "[x['audio'] for x in all_of] == ['two/light.answer.wav', 'two/who.answer.wav']"
expect 0 "say: specials are told" "$runnel" say --json "The kitchen light is on." -o a.wav
is "say: specials are told" "o['text_tokens'][0] == 128 and o['frames'][-1] == [2048] * 8"
is "say: seconds" "abs(o['times']['audio_seconds'] - 0.08 * (len(o['frames']) - 1)) < 1e-6"

# ---- who computes: none of these libraries is there, and the CPU answers
nowhere=(--device-set opencl=/nowhere/libOpenCL.so --device-set onnxruntime=/nowhere/libort.so)
expect 0 "chat on the CPU" "$runnel" chat -q -m "$folder" --max-tokens 20 hello
cp out cpu.txt
for device in cpu gpu npu gpu:Adreno npu:Hexagon auto; do
    expect 0 "--device $device" "$runnel" chat -m "$folder" --max-tokens 20 --device $device \
        "${nowhere[@]}" hello
    check "--device $device: the CPU's answer" cmp -s cpu.txt out
    case $device in
    cpu | auto) told=0 ;;
    *) told=1 ;;
    esac
    said=$(grep -c 'is not used.*the CPU computes' err) || true
    check "--device $device: said once" test "$said" = $told
done
refuse 2 "--device tpu" 'none of cpu, auto, gpu' "$runnel" chat -m "$folder" --device tpu hello
for set in opencl opencl= driver=x deadline-ms=9 deadline-ms=1s; do
    refuse 2 "--device-set $set" "'$set' is none of opencl=FILE" \
        "$runnel" chat -m "$folder" --device-set $set hello
done
expect 0 "devices --compute" "$runnel" devices --compute --json "${nowhere[@]}"
is "devices --compute: the CPU first" "o['kind'] == 'cpu' and o['usable']"
is "devices --compute: refusals" "all(x['usable'] or x['refusal'] for x in all_of)"
expect 0 "bench --device" "$runnel" bench -m "$folder" -t 1 --repeat 1 --work decode --tokens 2 \
    --depth 0 --device npu "${nowhere[@]}" --json
is "bench --device: the CPU, then why not" \
    "o['device'] == 'cpu' and o['work'] == 'decode' and 'is not used' in all_of[1]['refusal']"
expect 0 "bench --device all" "$runnel" bench -m "$folder" -t 1 --repeat 1 --work decode \
    --tokens 2 --depth 0 --device all "${nowhere[@]}" --json
is "bench --device all" "all('refusal' in x or x['unit'] == 'tok/s' for x in all_of)"
refuse 2 "bench --calibrate --device without a model" 'name the model with -m' \
    env -u RUNNEL_MODEL XDG_CACHE_HOME="$PWD" "$runnel" bench --calibrate --device all

# ---- info and tokenize for programs
expect 0 "info --json" "$runnel" info --json --context 1000 "$model"
is "info: what it is" "o['kind'] == 'bundle' and o['codec'] == 'lfm' and o['codebooks'] == 8"
is "info: what it can" "o['modes'] == ['interleaved', 'transcribe', 'speak', 'text']"
is "info: bytes add up" "o['bytes'] == sum(p['bytes'] for p in o['parts'].values()) and \
    all(p['bytes'] == sum(p['types'].values()) for p in o['parts'].values())"
is "info: a session" "o['session']['context'] == 1000 and \
    o['session']['bytes'] > o['session']['kv_cache'] > 0"
expect 0 "info --kv f16" "$runnel" info --json --context 1024 --kv f16 "$model"
keep
expect 0 "info --kv" "$runnel" info --json --context 1024 --kv q8_0 "$model"
is "info --kv: 34 bytes for 64" \
    "64 * o['session']['kv_cache'] == 34 * o2['session']['kv_cache'] > 0"
expect 0 "reply --kv" "$runnel" reply -q --kv q8_0 "$question" -o a.wav
holds "reply --kv" "The kitchen light is on"
refuse 2 "--kv that is none" "f16, q8_0 or f32" "$runnel" reply --kv q4_0 "$question"
refuse 3 "--kv that does not fit" "a head of this model has 16" \
    "$runnel" say --kv q8_0 -m "$tiny" hello
expect 0 "tokenize --json" "$runnel" tokenize --json "<|im_start|>user" ""
is "tokenize: arrays" "all_of[0][0] == 6 and len(all_of[0]) > 1 and all_of[1] == []"

# ---- bench: what is measured, one object a line
expect 0 "bench --json" "$runnel" bench --json --repeat 2 --tokens 32 --depth 0
is "bench: fields" "all(set(x) >= {'work','type','level','threads','tokens','depth','unit', \
    'median','min','max','n','limit'} for x in all_of)"
is "bench: works" "{'load','mel','encoder','prefill','decode','frame'} <= \
    {x['work'] for x in all_of}"
is "bench: order" "all(0 < x['min'] <= x['median'] <= x['max'] for x in all_of)"
is "bench: decoding has a limit" \
    "all((x['limit'] or 0) > 0 for x in all_of if x['work'] == 'decode')"
cp out bench.jsonl
expect 0 "a table of it" python3 "$source/tools/speed_table.py" minnow=bench.jsonl again=bench.jsonl
holds "a table of it: its head" "^| what | minnow | again |$"
check "a table of it: a line for each kind of work, and one of the machine's state" \
    [ "$(grep -c '^| [^w]' out)" -eq "$(($(wc -l < bench.jsonl) + 1))" ]
holds "a table of it: the state" "^| state | [0-9]* [nfc][a-z]*.*; .* ns; .* GB/s |"
is_row() { python3 - "$work" <<'PY'
import json, re, sys
rows = [json.loads(line) for line in open(sys.argv[1] + "/bench.jsonl")]
row = next(r for r in rows if r["work"] == "decode")
line = next(l for l in open(sys.argv[1] + "/out") if l.startswith("| decode 32, depth 0 |"))
median = float(re.match(r"[\d.]+", line.split("|")[2].strip()).group())
assert abs(median / row["median"] - 1) < 0.01 and line.split("|")[2] == line.split("|")[3]
share = "{:.0f} % ({:.0f} to {:.0f})".format(*(100 * row[k] for k in
                                                ("share", "share_min", "share_max")))
assert share in line, (share, line)
PY
}
check "a table of it: decoding" is_row
refuse 2 "bench, an argument" "argument" "$runnel" bench "$model"

# ---- What each option changes
tiny_reply() {
    expect 0 "$*" "$runnel" reply -q --json --exact -m "$folder" --max-tokens 60 "$@" \
        "$question" -o a.wav
}
tiny_reply --temp 0 --audio-temp 0
keep
is "6 text tokens, 12 frames" "o['modality'].startswith('t' * 6 + 'a' * 12 + 't' * 6)"
is "--max-tokens counts steps" "len(o['modality']) == 60 and o['finish'] == 'limit'"
tiny_reply --temp 0 --audio-temp 0 --interleave 2:3
is "--interleave" "o['modality'].startswith('ttaaattaaa')"
tiny_reply --temp 0 --audio-temp 0 --system "Something else."
is "--system" "o['text_tokens'] != o2['text_tokens']"
tiny_reply --temp 0 --audio-temp 0 --seed 9 -t 2
is "greedy: no seed, no thread count" "all(o[k] == o2[k] for k in ('text_tokens', 'frames'))"
tiny_reply --top-k 1 --audio-top-k 1
is "top-k 1 is greedy" "all(o[k] == o2[k] for k in ('text_tokens', 'frames'))"
tiny_reply
is "defaults: text greedy, sound sampled" \
    "o['text_tokens'][:6] == o2['text_tokens'][:6] and o['frames'][0] != o2['frames'][0]"
keep
tiny_reply
is "one seed, one answer" "o['frames'] == o2['frames']"
tiny_reply --seed 1
is "another seed" "o['frames'] != o2['frames']"
tiny_reply --temp 1.5
is "--temp" "o['text_tokens'][:6] != o2['text_tokens'][:6]"
expect 1 "say, a voice" "$runnel" say -q --json -m "$folder" --temp 0 --max-tokens 60 hello -o a.wav
keep
expect 1 "say, its default" "$runnel" say -q --json -m "$folder" --temp 0 --max-tokens 60 hello \
    --voice us-female -o a.wav
is "--voice us-female is the default" "o['text_tokens'] == o2['text_tokens']"
expect 1 "say, another" "$runnel" say -q --json -m "$folder" --temp 0 --max-tokens 60 hello \
    --voice uk-male -o a.wav
is "--voice" "o['text_tokens'] != o2['text_tokens'] or o['frames'] != o2['frames']"

# ---- Defaults are model data: a bundle's own keys
expect 0 "convert --set" "$runnel" convert -q "$folder" -o set.gguf --type keep \
    --set runnel.default.interleaved.audio_temperature=0 \
    --set runnel.default.interleaved.audio_top_k=1 --set runnel.default.interleaved.step_max=7 \
    --set "runnel.default.interleaved.system=Something else."
expect 0 "a bundle's defaults" "$runnel" reply -q --json --exact -m set.gguf "$question" -o a.wav
keep
is "its step_max" "len(o['modality']) == 7"
expect 0 "the folder, told the same" "$runnel" reply -q --json --exact -m "$folder" --audio-temp 0 \
    --system "Something else." --max-tokens 7 "$question" -o a.wav
is "its prompt and sampling" "all(o[k] == o2[k] for k in ('text_tokens', 'frames'))"
for bad in x=1 runnel.default.talk.step_max=5 runnel.default.text.step_max=0 \
    runnel.default.text.text_temperature=3 runnel.default.text; do
    refuse 2 "--set $bad" "KEY=VALUE\|no key" "$runnel" convert "$model" -o no.gguf --set "$bad"
done
check "no bundle of a refused --set" [ ! -e no.gguf ]
expect 0 "steps of a reply" "$runnel" transcribe -q --json -m "$folder" --whole "$question"
is "512 steps" "o['finish'] in ('end', 'stopped') or len(o['modality']) == 512" # stopped: sound
expect 0 "40 steps" "$runnel" transcribe -q --json -m "$folder" --whole --max-tokens 40 "$question"
is "40 steps" "o['finish'] == 'limit' and len(o['modality']) == 40"
expect 0 "steps of an interleaved reply" "$runnel" reply -q --json -m "$folder" "$question" -o a.wav
is "1024 steps" "o['finish'] == 'end' or len(o['modality']) == 1024"

# ---- Which model: -m, RUNNEL_MODEL, the install prefix, the source tree
mkdir -p prefix/bin prefix/share/runnel
cp "$runnel" prefix/bin/runnel
which_model() { # which_model NAME PATTERN COMMAND...: the model that info tells
    expect 0 "$1" "${@:3}" info
    check "$1: $(head -1 out)" grep -q -- "$2" <(head -1 out)
}
which_model "source tree" "samples/minnow/minnow.gguf" "$runnel"
which_model "a binary elsewhere" "samples/minnow/minnow.gguf" prefix/bin/runnel
ln -s "$model" prefix/share/runnel/minnow.gguf
which_model "install prefix" "prefix/share/runnel/minnow.gguf" prefix/bin/runnel
ln -s prefix/bin/runnel linked
which_model "a link to the binary" "prefix/share/runnel/minnow.gguf" ./linked
which_model "RUNNEL_MODEL" "tests/data/tiny" env RUNNEL_MODEL="$folder" prefix/bin/runnel
which_model "RUNNEL_MODEL empty" "prefix/share" env RUNNEL_MODEL= prefix/bin/runnel
expect 0 "-m before RUNNEL_MODEL" env RUNNEL_MODEL=/nowhere "$runnel" info -m "$folder"
holds "-m before RUNNEL_MODEL" "tests/data/tiny"
refuse 3 "RUNNEL_MODEL is wrong" "/nowhere" env RUNNEL_MODEL=/nowhere "$runnel" tokenize hello
refuse 3 "-m is empty" "no such model" "$runnel" tokenize -m "" hello

# ---- A context that is too small: refused, or the oldest turns go
printf 'Turn on the kitchen light.\n%.0s' $(seq 12) > lines
got=0
"$runnel" chat -q --mode text --context 96 < lines > out 2> err || got=$?
check "context full: exit code $got" [ "$got" -eq 1 ]
check "context full: a sentence" [ "$(grep -c '^runnel: .*context' err)" -eq 1 ]
got=0
"$runnel" chat -q --mode text --context 96 --drop-oldest < lines > out 2> err || got=$?
check "--drop-oldest: exit code $got" [ "$got" -eq 0 ]
check "--drop-oldest: all turns" [ "$(grep -c . out)" -eq 12 ]
refuse 1 "say beyond the context" "context" "$runnel" say --context 64 \
    "$(printf 'one two three %.0s' $(seq 60))" -o long.wav
refuse 1 "system beyond the context" "context" "$runnel" chat --context 64 hello \
    --system "$(printf 'one two three %.0s' $(seq 60))"
refuse 1 "sound beyond the context" "context" "$runnel" reply --context 64 \
    "$source/tests/data/audio/jfk.wav" -o long.wav
check "refusals leave no file" [ ! -e long.wav ]

# ---- Text that is none
refuse 5 "chat, empty" "no text" "$runnel" chat ""
refuse 5 "chat, blank" "no text" "$runnel" chat " "
refuse 5 "say, empty" "no text" "$runnel" say ""
refuse 5 "say, blank" "no text" "$runnel" say $' \t\n'
refuse 5 "say, not UTF-8" "UTF-8" "$runnel" say $'caf\351'
refuse 5 "system, not UTF-8" "UTF-8" "$runnel" chat hello --system $'caf\351'
check "no file of a refused text" [ ! -e say.wav ]
expect 0 "chat, no lines" "$runnel" chat
expect 0 "special tokens in user text are text" "$runnel" chat -q --json --mode text \
    "<|im_end|>"
is "special tokens in user text are text" "o['finish'] == 'end'"

# ---- A terminal, and none
screen() { # screen FILE COMMAND...: what a terminal of standard error (SCREEN=2: output) gets
    python3 - "$@" <<'PY'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    if os.environ.get("SCREEN") != "2":
        os.dup2(os.open("screen.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
try:
    while part := os.read(terminal, 4096):
        seen += part
except OSError:
    pass
os.waitpid(pid, 0)
open(sys.argv[1], "wb").write(seen)
PY
}
work_long=(convert "$folder" -o shown.gguf)
screen coloured "$runnel" "${work_long[@]}"
screen plain env NO_COLOR=1 "$runnel" "${work_long[@]}"
screen empty env NO_COLOR= "$runnel" "${work_long[@]}"
screen quiet "$runnel" "${work_long[@]}" -q
check "a terminal sees progress" grep -q '%' coloured
check "in colour" grep -q $'\033\\[1m' coloured
check "NO_COLOR: progress without colour" grep -q '%' plain
check "NO_COLOR" [ "$(grep -c $'\033\\[[0-9;]*m' plain)" -eq 0 ]
check "NO_COLOR empty is not set" grep -q $'\033\\[1m' empty
check "-q: nothing" [ ! -s quiet ]
expect 0 "no terminal" "$runnel" "${work_long[@]}"
check "no terminal, no progress" [ "$(grep -c '%' err)" -eq 0 ]
check "what is written goes to stderr" [ ! -s out ]
sure=(transcribe -q --color "$question")
SCREEN=2 screen coloured "$runnel" "${sure[@]}"
SCREEN=2 screen plain env NO_COLOR=1 "$runnel" "${sure[@]}"
expect 0 "--color without a terminal" "$runnel" "${sure[@]}"
check "--color: each word has one" [ "$(grep -o $'\033\\[3[123]m[^ ]*\033\\[0m' coloured |
    wc -l)" -eq "$(wc -w < out)" ]
check "--color: the words" [ "$(sed $'s/\033\\[[0-9]*m//g; s/\r//' coloured)" = "$(cat out)" ]
check "--color and NO_COLOR" [ "$(tr -d '\r' < plain)" = "$(cat out)" ]

# ---- The manual page knows every command and option
page=$source/docs/runnel.1
for command in $("$runnel" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    check "manual: $command" grep -q -- "Cm $command" "$page"
    for option in $("$runnel" "$command" --help | grep -o -- '^ *\(-., \)\? *--[a-z0-9-]*' |
        grep -o -- '--.*'); do
        check "manual: $option" grep -q -- "Fl -${option#--}\b" "$page"
    done
done
refuse 2 "man, no command" "'dance' is no command" "$runnel" man dance
refuse 2 "man, two" "name of one command" "$runnel" man reply say
expect 0 "man, all" "$runnel" man -o pages
for command in $("$runnel" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    expect 0 "man $command" "$runnel" man "$command"
    check "man $command: in the folder" cmp -s out "pages/runnel-$command.1"
    "$runnel" "$command" --help | sed '1,/^options:/d' |
        grep -o -- '^ *\(-., \)\? *--[a-z0-9-]*' | grep -o -- '--.*' | sort > told
    grep -A1 '^\.TP' out | sed 's/\\-/-/g' | grep -o -- '--[a-z][a-z0-9-]*' | sort > shown
    check "man $command: its options" cmp -s told shown
    if command -v man > /dev/null; then
        MANROFFOPT='' man --warnings -l "pages/runnel-$command.1" > page 2> err
        check "man $command: groff" [ ! -s err ]
        check "man $command: shows --version" grep -q -- '--version' page
    fi
done
check "man: as many as there are commands" [ "$(ls pages | wc -l)" -eq \
    "$("$runnel" --help | grep -c '^  [a-z]* ')" ]
if command -v mandoc > /dev/null; then check "manual: mandoc" mandoc -T lint -W error "$page"; fi
if command -v man > /dev/null; then
    MANROFFOPT='' man --warnings -l "$page" > out 2> err
    check "manual: groff" [ ! -s err ]
fi

summary
