#!/usr/bin/env bash
# The search from outside, on the device that is made up: what it leaves, that one which was killed
# goes on to the same log, refusals. search.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

cat > space.json << 'JSON'
{"d": 96, "heads": 4, "blocks": 6, "params": 700000, "vocab": 512, "ff_multiple": 16,
 "length": 256, "population": 8, "evaluations": 40, "device": "made-up"}
JSON
search=("$runnel" search --space space.json)
times='s/"seconds":[^,}]*//'
same() { # same NAME LOG LOG: but for times
    check "$1" cmp -s <(sed "$times" "$2") <(sed "$times" "$3")
}

# ---- What it leaves
expect 0 "a search" "${search[@]}" -o one
holds "a search: the front" "^    n  *loss  *decode  *cache  stack$"
check "a search: where the report is" grep -q "^report: one/report.html$" err
check "40 evaluations" [ "$(grep -c '"n":' one/log.jsonl)" -eq 40 ]
check "as many folders as lines" [ "$(ls one/best | wc -l)" -eq "$(grep -c '^ *[0-9]' out)" ]
expect 0 "as JSON" "$runnel" search --report one --json -q
check "nothing else is said" [ ! -s err ]
whole() { python3 - <<'PY'
import html.parser, json, re
rows = [json.loads(line) for line in open("out")]
log = [json.loads(line) for line in open("one/log.jsonl")]
for r in rows:
    line = log[[x.get("genome") for x in log].index(r["genome"])]
    assert all(line[k] == r[k] for k in ("n", "params", "loss", "decode", "cache"))
    c = json.load(open(f"one/best/{r['genome']}/config.json"))
    assert c["hidden_size"] == 96 and c["vocab_size"] == 512
    assert len(c["layer_types"]) == c["num_hidden_layers"] == len(r["genome"].split("-"))
page = open("one/report.html").read()
class Balance(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []
    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "html", "p"): self.open.append(tag)
    def handle_endtag(self, tag):
        if tag not in ("html", "p"): assert self.open.pop() == tag, tag
b = Balance()
b.feed(page)
assert not b.open and page.count("<svg") == 3 and "http" not in page and "<script" not in page
assert page.count('<tr class="front">') == len(rows) and page.count("<circle") == 40
assert "nan" not in page and "inf" not in re.sub("info", "", page)
PY
}
check "log, folders and page agree" whole
expect 0 "two searches are one" "${search[@]}" -o two -q
same "the same log" one/log.jsonl two/log.jsonl
expect 0 "another seed" "${search[@]}" -o three -q --seed 7
check "is another search" [ "$(sed "$times" three/log.jsonl | cksum)" != \
    "$(sed "$times" one/log.jsonl | cksum)" ]

# ---- The control
expect 0 "the control" "${search[@]}" -o one --random -q
check "its evaluations" [ "$(wc -l < one/random.jsonl)" -eq 40 ]
check "it is shown" grep -q 'class="control" points' one/report.html
tables() { python3 -B - "$source/samples/search" <<'PY'
import json, sys
sys.path.insert(0, sys.argv[1])
import tables
log = [json.loads(line) for line in open("one/log.jsonl")]
found, ends = [x for x in log if "n" in x], [x for x in log if "generation_end" in x]
names = json.load(open("one/space.json"))["objectives"]
for end in ends:
    rows = found[:end["evaluated"]]
    volume = tables.volume(rows, names, [2 * found[0][m] for m in names])
    assert abs(volume / end["hypervolume"] - 1) < 1e-9, (volume, end)
front = {x["genome"] for x in tables.front_of(found, names)}
assert front == {json.loads(line)["genome"] for line in open("front")}
a, b = {"genome": "1", "x": 1.0, "y": 2.0}, {"genome": "2", "x": 1.1, "y": 2.2}
assert abs(tables.behind(b, [a], "xy") - 0.1) < 1e-12 and tables.behind(a, [b], "xy") < 0
PY
}
expect 0 "the front as JSON" "$runnel" search --report one --json -q
cp out front
check "the tables of samples/search find the same" tables
expect 0 "the control first" "${search[@]}" -o four --random -q
check "no page yet" [ ! -e four/report.html ]
expect 0 "then the search" "$runnel" search -o four -q
same "of the same plan" one/log.jsonl four/log.jsonl

# ---- Killed, and gone on
for lines in 0 1 17 40 47; do
    mkdir cut
    cp one/space.json cut
    head -n $lines one/log.jsonl > cut/log.jsonl
    [ $lines -eq 1 ] || tail -n +$((lines + 1)) one/log.jsonl | head -c 30 >> cut/log.jsonl
    expect 0 "gone on behind line $lines" "$runnel" search -o cut --resume -q
    same "behind line $lines: the same log" one/log.jsonl cut/log.jsonl
    rm -r cut
done
mkdir half
cp one/space.json half
head -n 16 one/log.jsonl > half/log.jsonl # before the line of the first generation
expect 0 "half a search has a report" "$runnel" search --report half -q
check "which leaves the log alone" [ "$(wc -l < half/log.jsonl)" -eq 16 ]
mkdir half/best/mine
echo mine > "half/best/$(ls half/best | grep -v mine | head -1)/model.gguf"
kept=$(find half/best -name model.gguf)
expect 0 "and goes on" "$runnel" search -o half --resume -q
check "what a person put there stays" [ -s "$kept" -a -d half/best/mine ]

# ---- Limits
expect 0 "limits" "${search[@]}" -o limited --max-memory 30 --max-decode-ms 14.5 --json -q
check "limits are kept" python3 -c '
import json
rows = [json.loads(line) for line in open("out")]
assert rows and all(r["cache"] <= 30 and r["decode"] <= 14.5 for r in rows)'
expect 0 "objectives" "${search[@]}" -o two-of-them --objectives cache,loss -q
holds "objectives" "^    n  *cache  *loss  stack$"
expect 1 "nothing keeps them" "${search[@]}" -o none --max-decode-ms 0.5 -q
check "nothing keeps them: it is said" grep -q "none of 40 candidates keeps the limits" err

# ---- Given
lfm3=13020-31020-13020-13020-21020-13020
expect 0 "a candidate that is given" "$runnel" search -o one --key $lfm3 --json -q
check "is measured" grep -q "\"genome\":\"$lfm3\"" out
expect 0 "and another one" "$runnel" search -o one --key 1${lfm3:1} --key 21020-${lfm3:6} -q
check "beside the first" [ "$(wc -l < one/given.jsonl)" -eq 2 ]
check "it is shown" grep -q "<h2>Given</h2>" one/report.html
same "the search stays" one/log.jsonl two/log.jsonl

# ---- What is found becomes a model
cat > small.json << 'JSON'
{"d": 32, "heads": 4, "blocks": 3, "params": 70000, "vocab": 1216, "ff_multiple": 16,
 "tolerance": 0.1, "evaluations": 3, "device": "made-up"}
JSON
expect 0 "plain ones" "$runnel" search --space small.json -o small -q
plain=$(grep -l '"lfm2"' small/best/*/config.json | head -1)
printf '{"prompt": "one", "completion": "two"}\n%.0s' 1 2 3 > data.jsonl
expect 0 "learns" "$runnel" train --from-scratch "$plain" --data data.jsonl --steps 2 --length 32 \
    --tokenizer "$source/tests/data/tiny/tokenizer.json" -o learnt -q
expect 0 "and is a model" "$runnel" info learnt/model.gguf

# ---- This machine: targets are measured, proxies taught
cat "$source"/docs/*.md | head -c 100000 > corpus.txt
cat > here.json << JSON
{"d": 64, "heads": 4, "blocks": 3, "params": 150000, "vocab": 256, "ff_multiple": 32,
 "tolerance": 0.1, "population": 3, "evaluations": 4, "recall_steps": 2, "text_steps": 2,
 "rounds": 1, "again": 0,
 "reference": "$source/tests/data/measure/plain.json", "limits": {}}
JSON
here=("$runnel" search --space here.json -t 2 -q)
expect 0 "a search here that has no time" "${here[@]}" --corpus corpus.txt --minutes 0.01 -o here
check "ends behind its first candidate" grep -q "the time is over behind 1 evaluations" err
mv corpus.txt moved.txt
expect 0 "goes on, with a corpus that was moved" "${here[@]}" --resume --corpus moved.txt -o here
expect 0 "one that is given here" "${here[@]}" --corpus moved.txt --key 21020-10020-13020 -o here
log_of_here() { python3 - <<'PY'
import json
lines = [json.loads(line) for line in open("here/log.jsonl")]
found = [x for x in lines if "n" in x]
given = [json.loads(line) for line in open("here/given.jsonl")]
assert len(found) == 4 and len(given) == 1
for x in found + given:
    m = x["measured"]
    assert x["memory"] == x["cache"] + x["activation"] > 0 and x["decode_4k"] > 0
    assert abs(x["quality"] - (x["loss"] + 1 - x["recall"])) < 1e-12 and x["loss"] < 20
    assert m["target_seconds"] > 0 and m["raw"]["prefill_4k"]["rounds"] and m["raw"]["load"] >= 0
    assert len(m["text"]) == (3 if x["n"] == 0 and x is not given[0] else 1)
y = found[0]["measured"]["yardstick_ms"]
for x in found + given:
    want = x["measured"]["raw"]["decode_4k"]["ratio"] * y["decode_4k"]
    assert abs(x["decode_4k"] / want - 1) < 1e-9
PY
}
check "what the logs of here say" log_of_here
check "chance is shown" grep -q "<h2>Chance</h2>" here/report.html
check "nothing else is left" [ "$(ls here | tr '\n' ' ')" = \
    "best given.jsonl log.jsonl report.html space.json " ]
if [ -n "${RUNNEL_TEST_SHORT:-}" ]; then
    echo "left out with RUNNEL_TEST_SHORT: going on by a command that leads elsewhere"
elif [ -x "$(dirname "$runnel")/runnel-measure" ]; then
    mkdir device
    mkdir there
    head -3 here/log.jsonl > there/log.jsonl
    sed 's/"device":"here"/"device":"bash -c {cmd}"/' here/space.json > there/space.json
    expect 0 "goes on on another machine" "$runnel" search -o there --resume -t 2 -q \
        --corpus moved.txt --push "cp {file} {path}" --folder device
    bytes_of() { grep '"n":3' "$1/log.jsonl" | grep -o '"memory":[^}]*"activation":[0-9.]*,'; }
    check "the same bytes" [ "$(bytes_of there)" = "$(bytes_of here)" ]
    check "it was copied" [ -x device/runnel-measure ]
    head -3 here/log.jsonl > there/log.jsonl
    sed -i 's/bash -c/nowhere/' there/space.json
    refuse 1 "a device that is not there" "no such program" "$runnel" search -o there --resume \
        --corpus moved.txt
fi

# ---- Refusals
refuse 2 "no folder" "give -o FOLDER" "$runnel" search
refuse 2 "two of them" "give -o FOLDER" "$runnel" search -o x --report one
refuse 2 "again" "one/log.jsonl: a search stands there" "${search[@]}" -o one
refuse 2 "another corpus" "another search stands there" "${here[@]}" --resume --corpus \
    <(cat moved.txt; echo) -o here
refuse 2 "another plan" "another search stands there" "${search[@]}" -o one --resume --seed 2
refuse 2 "no corpus" "give --corpus" "$runnel" search -o x
refuse 2 "a key before a search" "none was begun there" "${search[@]}" -o z --key 10020
refuse 2 "a wrong key" "'10020' is no candidate of this search" "${search[@]}" -o one --key 10020
echo short > short.txt
refuse 5 "a short corpus" "short.txt: 6 bytes" "$runnel" search --corpus short.txt -o x
refuse 5 "no such corpus" "nowhere.txt" "$runnel" search --corpus nowhere.txt -o x
refuse 2 "a corpus that nobody reads" "learns nothing" "${search[@]}" --corpus short.txt -o x
refuse 2 "a device" "'toaster' is no device" "$runnel" search --device toaster -o x
refuse 2 "two devices" "space.json says 'made-up'" "${search[@]}" --device toaster -o x
refuse 2 "objectives" "'loss,charm' are not" "${search[@]}" --objectives loss,charm -o x
refuse 2 "an objective twice" "'loss,loss' are not" "${search[@]}" --objectives loss,loss -o x
refuse 2 "what is not measured" "--min-recall: the device" "${search[@]}" --min-recall 0.5 -o x
refuse 5 "no space" "nowhere.json" "$runnel" search --space nowhere.json -o x
echo '{"d": 97}' > odd.json
refuse 5 "a space" "odd.json: d is 97" "$runnel" search --space odd.json -o x
refuse 5 "nothing there" "nowhere/space.json" "$runnel" search --report nowhere
refuse 2 "no candidate" "no candidate of 6 blocks" "${search[@]}" -o y --space <(
    sed 's/700000/7/' space.json)
sed -i '3s/"n":2/"n":3/' two/log.jsonl
refuse 5 "another log" "two/log.jsonl: line 3 is not" "$runnel" search -o two --resume
check "which stays" [ "$(grep -c '"n":' two/log.jsonl)" -eq 40 ]
check "refusals leave nothing" [ ! -e x ]
summary
