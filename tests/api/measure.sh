#!/usr/bin/env bash
# What models cost: `runnel measure` here, and on a device that a command leads to.
# measure.sh PROGRAM SOURCE RUNNEL-MEASURE.
. "$(dirname "$0")/common.sh"
alone=$(realpath "$3") data=$source/tests/data/measure
plain=$data/plain.json
quick=(--json --rounds 1 --again 0 -t 2 --reference "$plain")

object() { # object NAME FILE EXPRESSION: of o, and a and b, its first two models
    local got
    got=$(python3 -c '
import json, sys
lines = open(sys.argv[1]).read().splitlines()
assert len(lines) == 1, lines
o = json.loads(lines[0])
a, b = (o["models"] * 2)[:2]
print(eval(sys.argv[2]))' "$2" "$3" 2>> err)
    check "$1: $3 is $got" [ "$got" = True ]
}
metrics="('prefill_1k', 'prefill_4k', 'decode_1k', 'decode_4k')"

# ---- Here
expect 0 "a config.json" "$runnel" measure "${quick[@]}" "$plain"
cp out here
object "times of all" here "all(a[m]['ms'] > 0 and len(a[m]['rounds']) == 1 for m in $metrics)"
object "beside the reference" here \
    "o['reference']['file'] == a['file'] and all(o['reference'][m] > 0 for m in $metrics)"
object "tokens a second" here "all(abs(a[m]['ms'] * a[m]['tokens_per_second'] / n - 1e3) < 1e-3 \
    for m, n in zip($metrics, (1024, 4096, 1, 1)))"
object "a ratio of each round" here "all(abs(r[1] / (r[0] + r[2]) * 2 / a[m]['ratio'] - 1) < 1e-6 \
    for m in $metrics for r in a[m]['rounds'])"
object "the machine" here "o['threads'] == 2 and o['type'] == 'Q4_0' and o['level'] != ''"
mkdir -p folder
cp "$plain" folder/config.json
expect 0 "memory alone" "$runnel" measure --json --no-times -t 2 folder "$model" "$tiny"
cp out memory
object "memory alone: no times" memory "'prefill_1k' not in a and 'reference' not in o"
object "memory alone: as with times" memory "a['cache_bytes'] == json.load(open('here')) \
    ['models'][0]['cache_bytes'] > 0 and a['file'].endswith('folder/config.json')"
object "a model as it is opened" memory "b['parameters'] > 1e6 and b['cache_bytes'] > 0 and \
    len(o['models']) == 3"
object "what is resident bears it out" here "a['activation_resident'] is None or \
    a['activation_bytes'] / 2 < a['activation_resident']"
expect 0 "threads and type" "$runnel" measure --json --no-times -t 1 --type f16 folder
object "fewer threads need less" out "a['activation_bytes'] < json.load(open('here')) \
    ['models'][0]['activation_bytes'] and o['threads'] == 1 and o['type'] == 'F16'"
expect 0 "two take turns" "$runnel" measure "${quick[@]}" -q "$plain" folder
object "two take turns" out "all(a[m]['rounds'][0][2] == b[m]['rounds'][0][0] for m in $metrics)"

expect 0 "a table" "$runnel" measure "${quick[@]}" --table "$plain"
cp out table
object "a table: its blocks" table "[b['layers'] for b in o['table']['blocks']] == [[0, 2], [1]]"
object "a table: their sum" table "all(abs(sum(len(b['layers']) * b[m] for b in \
    o['table']['blocks']) + o['table']['head'][m] - o['table']['predicted'][m]) < 1e-9 \
    for m in $metrics) and len(o['models']) == 1"
object "a table: beside what was measured" table "all(abs(o['table']['predicted'][m] - \
    a[m]['ms'] * (1 + o['table']['difference'][m])) < 1e-9 for m in $metrics)"
expect 0 "for people" "$runnel" measure "${quick[@]:1}" --table "$plain"
holds "for people: its name" "plain.json"
holds "for people: beside the reference" "to reference"
holds "for people: the table" "their sum"

# ---- There: the same on loopback
there=("${quick[@]}" --program "$alone" --device "sh -c {cmd}")
same="all(a[k] == json.load(open('here'))['models'][0][k] for k in \
    ('file', 'parameters', 'weight_bytes', 'cache_bytes', 'activation_bytes'))"
expect 0 "a device" "$runnel" measure "${there[@]}" "$plain"
object "a device: the same memory" out "$same"
object "a device: times" out "all(a[m]['ms'] > 0 for m in $metrics) and \
    o['reference']['file'] == a['file']"
there=(--json --no-times -t 2 --program "$alone")
expect 0 "what else it says" "$runnel" measure "${there[@]}" "$plain" \
    --device "sh -c 'echo Welcome; echo \"{\"; eval \"\$1\"; echo {; echo Bye' x {cmd}"
object "what else it says is no report" out "$same"
there=("${there[@]}" --device "sh -c {cmd}")
place="$work/the re/it's"
mkdir -p "$place"
expect 0 "pushed" "$runnel" measure "${there[@]}" --push "cp {file} {path}" --folder "$place" \
    "$plain" folder
object "pushed: the same memory" out "$same and b['file'].endswith('folder/config.json')"
check "pushed: program and files" [ "$(find "$place" -type f | wc -l)" -eq 3 ]

refuse 2 "no {cmd}" "lacks {cmd}" "$runnel" measure --device "ssh host" "$plain"
refuse 2 "no {path}" "lacks {path}" "$runnel" measure --device "x {cmd}" --push "cp {file}" "$plain"
refuse 2 "an open quote" "quote that it does not close" \
    "$runnel" measure --device "ssh 'host {cmd}" "$plain"
refuse 2 "--push alone" "not given" "$runnel" measure --push "cp {file} {path}" "$plain"
refuse 2 "a model for a device" "is no config.json" \
    "$runnel" measure --device "sh -c {cmd}" "$model"
refuse 1 "no such program" "no such program" "$runnel" measure --device "no-program {cmd}" "$plain"
refuse 1 "a device that fails" "the command failed: .*gone" "$runnel" measure "$plain" \
    --device "sh -c 'echo it is gone >&2; exit 1' {cmd}"
refuse 1 "a device that says nothing of it" "printed no report" \
    "$runnel" measure --device "echo {cmd}" "$plain"
refuse 1 "half a report" "device's report" "$runnel" measure "$plain" \
    --device "printf '{\"cpu\": \"x\"}' {cmd}"
refuse 1 "a device that hangs" "did not answer within 1 s, twice" \
    "$runnel" measure --timeout 1 --device "sh -c 'sleep 60' {cmd}" "$plain"
cp "$plain" copy.json
refuse 1 "what the device refuses" "command failed: .*hidden_size" "$runnel" measure copy.json \
    --program "$alone" --device "sh -c 'sed -i s/hidden_size/none/ copy.json; eval \"\$1\"' x {cmd}"

# ---- Refusals
refuse 2 "no file" "name 1 to 64 files" "$runnel" measure
refuse 2 "a table of two" "times of one" "$runnel" measure --table "$plain" "$plain"
refuse 2 "a type that is read only" "no type that weights are made in" \
    "$runnel" measure --type iq4_xs "$plain"
refuse 2 "a type that does not fit" "no whole number of blocks of Q4_K" \
    "$runnel" measure --no-times --type q4_k "$plain"
refuse 2 "no such level" "level \"mmx\"" "$runnel" measure --cpu mmx "$plain"
sed 's/64/"wide"/' "$plain" > wide.json
refuse 3 "a config that is damaged" "wide.json: hidden_size" "$runnel" measure --no-times wide.json
refuse 3 "a reference that is damaged" "wide.json" \
    "$runnel" measure --reference wide.json "$plain"
summary
