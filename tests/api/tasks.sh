#!/usr/bin/env bash
# `runnel eval --task`: likelihoods against the reference, each spelling of documents against the
# contexts that Python makes of it, shots, refusals. tasks.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

data=$source/tests/data/quality
ask=("$runnel" eval -q --exact --json)
expect 0 "choice by ids" "${ask[@]}" -m "$data/base" --task choice --data "$data/tasks/ids.jsonl"
cp out ids.out
expect 0 "threads" "${ask[@]}" -t 3 -m "$data/base" --task choice --data "$data/tasks/ids.jsonl"
check "threads change no bit" cmp -s out ids.out
python3 - "$data" <<'PY'
import json, sys
data = sys.argv[1] + "/tasks/"
lines = [json.loads(line) for line in open(data + "unicode.jsonl", encoding="utf-8")]
with open("unicode.jsonl", "w", encoding="utf-8") as f: # how long they are is not told
    for d in lines:
        d.pop("lengths")
        f.write(json.dumps(d, ensure_ascii=False) + "\n")

def pair(name, given, contexts, choices, gold):
    """Documents as published, and what becomes of them as documents of our own."""
    with open(name + ".jsonl", "w") as f:
        f.writelines(json.dumps(d) + "\n" for d in given)
    with open(name + ".own", "w") as f:
        for context, some, right in zip(contexts, choices, gold):
            f.write(json.dumps({"context": context, "choices": some, "gold": right}) + "\n")

# MMLU, two subjects, answers as letters and as numbers, two shots of the same subject
given = [{"question": f" What is {a} plus two? ", "choices": ["two", "three", "four", "six"],
          "answer": i % 4 if i % 3 else "ABCD"[i % 4], "subject": f"high_sums_{i % 2}"}
         for i, a in enumerate(["one", "two", "four", "zero", "five", "six", "nine", "ten"])]
plain = [d["question"].strip() + "".join(f"\n{x}. {c}" for x, c in zip("ABCD", d["choices"])) +
         "\nAnswer:" for d in given]
contexts, letters = [], ["A", "B", "C", "D"]
for i, d in enumerate(given):
    shots = [j for j in range(8) if j % 2 == i % 2 and j != i][:2]
    contexts.append("The following are multiple choice questions (with answers) about "
                    f"{d['subject'].replace('_', ' ')}.\n\n" +
                    "".join(f"{plain[j]} {letters[j % 4]}\n\n" for j in shots) + plain[i])
pair("mmlu", given, contexts, [letters] * 8, [i % 4 for i in range(8)])
options = [dict(question=d["question"], answer="ABCD"[i % 4],
                **{"option_" + k: c for k, c in zip("abcd", d["choices"])})
           for i, d in enumerate(given)]
pair("global_mmlu", options, plain, [letters] * 8, [i % 4 for i in range(8)])
arc = [{"question": "Which is hot?", "choices": {"text": ["ice", "fire", "rain"],
                                                 "label": label}, "answerKey": label[1]}
       for label in (["A", "B", "C"], ["1", "2", "3"])]
pair("arc_easy", arc, ["Question: Which is hot?\nAnswer:"] * 2,
     [["ice", "fire", "rain"]] * 2, [1, 1])

# HellaSwag, by the published cleaning
import re
def clean(text):
    text = text.strip().replace(" [title]", ". ")
    return re.sub("\\[.*?\\]", "", text).replace("  ", " ")
hella = [{"activity_label": "Roof [header] work", "ctx_a": "A man is [x]here [title] now.",
          "ctx_b": "tHE Man \u00c9t [open", "endings": [" he sits [step] down.", "runs   off.",
                                                      "[a\nb] waits [title].", "a [b [title] c] d"],
          "label": label} for label in (2, "3")]
pair("hellaswag", hella,
     [clean(f"{d['activity_label']}: {d['ctx_a']} {d['ctx_b'].capitalize()}") for d in hella],
     [[clean(e) for e in d["endings"]] for d in hella], [2, 3])
PY
for task in "mmlu --shots 2" global_mmlu arc_easy hellaswag; do
    read -r name shots <<< "$task"
    expect 0 "$name" "${ask[@]}" --task "$name" --data "$name.jsonl" $shots
    grep '"index"' out | sed 's/"subject":"[^"]*",//' > given.out
    expect 0 "$name, as our own" "${ask[@]}" --task choice --data "$name.own"
    grep '"index"' out > own.out
    check "$name: the same likelihoods" cmp -s given.out own.out
    check "$name: all of them" [ "$(wc -l < given.out)" -eq "$(wc -l < "$name.jsonl")" ]
done
expect 0 "by subject" "${ask[@]}" --task mmlu --data mmlu.jsonl
cp out mmlu.out
expect 0 "characters and bytes" "${ask[@]}" --task choice --data unicode.jsonl
cp out unicode.out
numbers() { python3 - "$data" <<'PY'
import json, math, sys
data = sys.argv[1]
def load(name):
    return [json.loads(line) for line in open(name, encoding="utf-8")]
want, got = json.load(open(data + "/expect.json"))["choice"], load("ids.out")
for d, g in zip(want["docs"], got):
    assert all(abs(a - b) < 2e-6 * abs(a) + 1e-5 for a, b in zip(d["loglikelihoods"], g["ll"]))
    assert d["greedy"] == g["greedy"] and d["gold"] == g["gold"]
    assert (d["acc"], d["acc_norm"]) == (g["metrics"]["acc"], g["metrics"]["acc_norm"])
total = got[-1]["total"]["metrics"]
for name in ("acc", "acc_norm"):
    assert abs(total[name]["mean"] - want[name]) < 1e-9
    assert abs(total[name]["error"] - want[name + "_stderr"]) < 1e-9
for d, g in zip(load(data + "/tasks/unicode.jsonl"), load("unicode.out")):
    assert d["lengths"] == {"characters": g["characters"], "bytes": g["bytes"]}
    for name, by in (("acc", [1] * 4), ("acc_norm", g["characters"]), ("acc_bytes", g["bytes"])):
        values = [ll / n for ll, n in zip(g["ll"], by)]
        assert g["predictions"][name] == values.index(max(values))
docs = load("mmlu.out")
total = docs.pop()["total"]
squares = free = 0
for name in ("high_sums_0", "high_sums_1"):
    x = [d["metrics"]["acc"] for d in docs if d["subject"] == name]
    mean = sum(x) / len(x)
    error = math.sqrt(sum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x))
    assert abs(total["subjects"][name]["mean"] - mean) < 1e-9
    assert abs(total["subjects"][name]["error"] - error) < 1e-9
    squares += (len(x) - 1) * error ** 2 * len(x)
    free += len(x) - 1
assert abs(total["metrics"]["acc"]["error"] - math.sqrt(squares / free / len(docs))) < 1e-9
PY
}
check "the numbers" numbers
expect 0 "for people" "$runnel" eval -q --task mmlu --data mmlu.jsonl
holds "for people: subjects" '^ *[0-9.]* ±  *[0-9.]* %  of     4  high_sums_1$'
holds "for people: all" 'of     8  acc_mutual_info$'
expect 0 "drawn shots" "${ask[@]}" --task mmlu --data mmlu.jsonl --shots 2 --shots-seed 5
cp out drawn
expect 0 "drawn again" "${ask[@]}" --task mmlu --data mmlu.jsonl --shots 2 --shots-seed 5
check "a seed draws the same" cmp -s out drawn
expect 0 "shots of another file" "${ask[@]}" --task choice --data arc_easy.own \
    --shots-file mmlu.own --shots 3

# ---- Answers that are generated: minnow adds typed sums up
sums=$data/tasks/sums.jsonl
if [ -n "${RUNNEL_TEST_SHORT:-}" ]; then # sanitizers compute some ten times as long
    head -n 5 "$sums" > few.jsonl
    sums=few.jsonl
fi
expect 0 "sums" "${ask[@]}" --task generate --chat --data "$sums"
cp out sums.out
python3 - "$sums" "$data/tasks/words.jsonl" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])][:20]
def write(name, **more):
    with open(name, "w") as f:
        for d in lines:
            f.write(json.dumps({**d, **more, "prompt": more.get("prompt", "%s") % d["prompt"]})
                    + "\n")
layout = "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n"
write("plain.jsonl")
write("laid.jsonl", prompt=layout)
write("stop.jsonl", prompt=layout, stop=["nothing", " is"], extract="whole", answer=["x", "y"])
with open("gsm8k.jsonl", "w") as f:
    f.writelines(list(open(sys.argv[2]))[:3])
PY
expect 0 "a few, as chat" "${ask[@]}" --task generate --chat --data plain.jsonl
cp out chat.out
expect 0 "laid out by hand" "${ask[@]}" --task generate --data laid.jsonl
check "laid out by hand: the same text" cmp -s chat.out out
expect 0 "a stop" "${ask[@]}" --task generate --data stop.jsonl
cp out stop.out
expect 0 "three tokens" "${ask[@]}" --task generate --max-tokens 3 --data laid.jsonl
cp out three.out
expect 0 "gsm8k" "${ask[@]}" --task gsm8k --shots 1 --max-tokens 20 --data gsm8k.jsonl
cp out gsm8k.out
texts() { python3 - <<'PY'
import json
def load(name):
    return [json.loads(line) for line in open(name)]
assert load("sums.out")[-1]["total"]["metrics"]["exact"]["mean"] >= 0.97
whole = load("chat.out")[:-1]
for d, stopped, short in zip(whole, load("stop.out"), load("three.out")):
    assert " is" in d["text"] and stopped["text"] == d["text"][:d["text"].index(" is")]
    assert stopped["extracted"]["exact"] == stopped["text"] and stopped["metrics"]["exact"] == 0
    assert d["text"].startswith(short["text"]) and 0 < len(short["text"]) < len(d["text"])
numbers = load("gsm8k.out")
assert set(numbers[-1]["total"]["metrics"]) == {"strict", "flexible"}
assert all(set(d["extracted"]) == {"strict", "flexible"} for d in numbers[:-1])
PY
}
check "the texts" texts

refused=("$runnel" eval -q --task)

# ---- The table that MMLU was published as
python3 - <<'PY'
import csv, json
docs = [json.loads(line) for line in open("mmlu.jsonl")][::2]
docs[0]["question"] = 'Who said "two, or\nthree"?'
with open("table.jsonl", "w") as f:
    f.writelines(json.dumps(d) + "\n" for d in docs)
with open("high_sums_0_test.csv", "w", newline="") as f:
    csv.writer(f).writerows([d["question"], *d["choices"], "ABCD"[2 * i % 4]]
                            for i, d in enumerate(docs))
PY
expect 0 "lines" "${ask[@]}" --task mmlu --data table.jsonl --shots 1
cp out table.out
expect 0 "a table" "${ask[@]}" --task mmlu --data high_sums_0_test.csv --shots 1
check "a table says the same" cmp -s out table.out

# ---- As conversations: what is likeliest is what is said; shots are turns
python3 - <<'PY'
import json
docs = [json.loads(line) for line in open("plain.jsonl")][:4]
said = [json.loads(line)["text"] for line in list(open("chat.out"))[:4]]
with open("said.jsonl", "w") as f:
    for d, text in zip(docs, said):
        f.write(json.dumps({"context": d["prompt"], "choices": ["It is cold.", text],
                            "gold": 1}) + "\n")
turn = "<|im_start|>%s\n%s<|im_end|>\n"
with open("turns.jsonl", "w") as f, open("turns.own", "w") as own:
    for i, d in enumerate(docs):
        shot = docs[1 if i == 0 else 0]
        f.write(json.dumps(d) + "\n")
        context = turn % ("user", shot["prompt"]) + turn % ("assistant", shot["answer"]) + \
            turn % ("user", d["prompt"]) + "<|im_start|>assistant\n"
        own.write(json.dumps({**d, "prompt": context}) + "\n")
PY
expect 0 "choices as chat" "${ask[@]}" --task choice --chat --data said.jsonl
check "what is said is the likeliest" [ "$(grep -c '"greedy":\[false,true\]' out)" -eq 4 ]
expect 0 "shots as turns" "${ask[@]}" --task generate --chat --shots 1 --shots-as-turns \
    --data turns.jsonl
cp out turns.out
expect 0 "turns by hand" "${ask[@]}" --task generate --data turns.own
check "shots as turns: the same text" diff <(grep '"index"' out) <(grep '"index"' turns.out)

# ---- Kept, gone on with, compared
keep=("$runnel" eval -q --exact --task mmlu --data mmlu.jsonl -o)
expect 0 "kept" "${keep[@]}" whole
check "kept: settings, documents, total" [ "$(wc -l < whole)" -eq 10 ]
expect 0 "printed" "${ask[@]}" --task mmlu --data mmlu.jsonl
check "what is kept is what is printed" diff <(sed 1d whole) out
{ head -4 whole; sed -n 5p whole | head -c 30; } > killed
expect 0 "gone on with" "${keep[@]}" killed --resume
check "gone on with: the same file" cmp -s killed whole
expect 0 "done already" "$runnel" eval --exact --task mmlu --data mmlu.jsonl -o killed --resume
check "done already: told" grep -q "8 of 8 documents are done already" err
check "done already: the same file" cmp -s killed whole
cp killed own
refuse 2 "of other options" "with other options" "${keep[@]}" killed --resume --shots 1
cp mmlu.jsonl other.jsonl
echo >> other.jsonl
refuse 2 "of other documents" "of other documents" "$runnel" eval -q --exact --task mmlu \
    --data other.jsonl -o killed --resume
check "refused: the file is as it was" cmp -s killed own
refuse 2 "over its documents" "mmlu.jsonl" "${keep[@]}" mmlu.jsonl
python3 - <<'PY'
import json
lines = open("whole").read().splitlines(True)
with open("flipped", "w") as f:
    for line in lines:
        d = json.loads(line)
        if d.get("index") in (1, 2, 5): # of another program, or another model
            d["metrics"]["acc"] = 1 - d["metrics"]["acc"]
        f.write(json.dumps(d) + "\n")
open("half", "w").writelines(lines[:5])
PY
expect 0 "against" "${ask[@]}" --task mmlu --data mmlu.jsonl --against flipped
cp out against.out
against() { python3 - <<'PY'
import json, math
rows = [json.loads(line) for line in open("against.out")]
other = {d["index"]: d for d in map(json.loads, open("flipped")) if "index" in d}
got = rows[-1]["total"]["against"]
d = [r["metrics"]["acc"] - other[r["index"]]["metrics"]["acc"] for r in rows[:-1]]
here, there, n = d.count(1), d.count(-1), len(d)
mean = sum(d) / n
a = got["acc"]
assert (a["only_here"], a["only_there"], a["documents"]) == (here, there, n) and here + there == 3
assert abs(a["mean"] - mean) < 1e-12
assert abs(a["error"] - math.sqrt(sum((x - mean) ** 2 for x in d) / (n - 1) / n)) < 1e-12
p = min(1, 2 * sum(math.comb(here + there, i) for i in range(min(here, there) + 1)) / 8)
assert abs(a["p"] - p) < 1e-12
assert got["acc_norm"] == {"mean": 0, "error": 0, "documents": n, "only_here": 0,
                           "only_there": 0, "p": 1}
PY
}
check "the paired figures" against
expect 0 "against, for people" "$runnel" eval -q --task mmlu --data mmlu.jsonl --against whole
holds "against: no difference" "right only here 0, only there 0.*no difference can be claimed"
refuse 5 "against half a run" "did not end" "${refused[@]}" mmlu --data mmlu.jsonl \
    --against half
refuse 5 "against another benchmark" "line 1 has no index" "${refused[@]}" mmlu \
    --data mmlu.jsonl --against mmlu.jsonl

# ---- Spoken questions: the text of what `reply` answers
mkdir sounds && cp "$question" sounds/light.wav
python3 - <<'PY'
import json
def put(name, *docs):
    with open(name, "w") as f:
        f.writelines(json.dumps(d) + "\n" for d in docs)
light, answer = {"audio": "light.wav"}, {"answer": "The kitchen light is on."}
put("sounds/spoken.jsonl", {**light, **answer}, {**light, "answer": "The kitchen light is off."})
put("sounds/twice.jsonl", {**light, **answer, "prompt": "x"})
put("sounds/lost.jsonl", {"audio": "nowhere.wav", **answer})
put("sounds/nameless.jsonl", {"audio": "", **answer})
PY
spoken=(--task generate --chat --data)
expect 0 "as answered" "$runnel" reply -q --exact --json "$question" -o answer.wav
cp out reply.out
expect 0 "spoken questions" "${ask[@]}" "${spoken[@]}" sounds/spoken.jsonl
spoken_texts() { python3 - <<'PY'
import json
lines = [json.loads(line) for line in open("out")]
text = json.loads(open("reply.out").read())["text"]
assert text == "The kitchen light is on." and [d["text"] for d in lines[:2]] == [text, text]
assert [d["metrics"]["exact"] for d in lines[:2]] == [1, 0]
PY
}
check "spoken questions: the texts" spoken_texts
refuse 2 "spoken, and no conversation" "asked with --chat" "${refused[@]}" generate \
    --data sounds/spoken.jsonl
refuse 5 "spoken and typed" "a prompt and an audio" "${ask[@]}" "${spoken[@]}" sounds/twice.jsonl
refuse 5 "no name of a sound" "audio is empty" "${ask[@]}" "${spoken[@]}" sounds/nameless.jsonl
refuse 5 "a question that is lost" "sounds/nowhere.wav" "${ask[@]}" "${spoken[@]}" \
    sounds/lost.jsonl
refuse 5 "spoken shots" "take no --shots" "${ask[@]}" "${spoken[@]}" sounds/spoken.jsonl --shots 1
refuse 5 "shots of ids" "ids.jsonl: document 1 has ids" "${refused[@]}" choice --shots 1 \
    --data arc_easy.own --shots-file "$data/tasks/ids.jsonl"
refuse 3 "a model without ears" "runnel: " "${ask[@]}" "${spoken[@]}" sounds/spoken.jsonl \
    -m "$data/base"

# ---- Transcripts: what is heard is as likely as the model said it was
python3 - "$source" <<'PY'
import json, sys
def put(name, rows):
    with open(name, "w") as f:
        for question, text in rows:
            f.write(json.dumps({"audio_filepath": f"{sys.argv[1]}/samples/questions/{question}.wav",
                                "text": text}) + "\n")
put("heard.jsonl", [("light", "Turn on the kitchen light."),
                    ("weather", "How is the weather in Vienna today?")])
put("light.jsonl", [("light", "Turn on the kitchen light.")])
put("wrong.jsonl", [("light", "Turn on the garden light.")])
put("empty.jsonl", [("light", "")])
put("lost.jsonl", [("nowhere", "x")])
PY
expect 0 "as heard" "$runnel" transcribe -q --exact --whole --json "$question"
cp out heard.out
for name in light heard wrong; do
    expect 0 "transcripts: $name" "${ask[@]}" --task transcripts --data $name.jsonl
    cp out $name.out.json
done
expect 0 "transcripts: threads" "${ask[@]}" -t 3 --task transcripts --data heard.jsonl
check "transcripts: threads change no bit" cmp -s out heard.out.json
heard() { python3 - <<'PY'
import json, math
def load(name):
    return [json.loads(line) for line in open(name)]
light, both, wrong = (load(f"{n}.out.json") for n in ("light", "heard", "wrong"))
said = json.loads(open("heard.out").read())
one = light[0]
assert one["tokens"] == len(said["tokens"]) and one["characters"] == 26
assert abs(one["nll"] / one["tokens"] + said["confidence"]) < 1e-4
assert both[0] == one and both[1]["index"] == 1
total = both[-1]["total"]
assert abs(total["nll_per_token"] - (both[0]["nll"] + both[1]["nll"]) / total["tokens"]) < 1e-12
assert abs(total["bits_per_character"] -
           (both[0]["nll"] + both[1]["nll"]) / math.log(2) / total["characters"]) < 1e-12
assert wrong[0]["nll"] > 100 * one["nll"]
PY
}
check "transcripts: the figures" heard
expect 0 "transcripts, for people" "$runnel" eval -q --task transcripts --data heard.jsonl
holds "transcripts, for people" '^bits per character .* 2 recordings$'
refuse 2 "transcripts have no shots" "no --shots" "${refused[@]}" transcripts --data heard.jsonl \
    --shots 1
refuse 5 "an empty reference" "is empty" "${refused[@]}" transcripts --data empty.jsonl
refuse 5 "a sound that is lost" "nowhere.wav" "${refused[@]}" transcripts --data lost.jsonl
refuse 3 "a model that hears nothing" "cannot transcribe" "${refused[@]}" transcripts \
    --data heard.jsonl -m "$data/base"

# ---- Frames: what the model itself would say is the likeliest
expect 0 "as spoken" "$runnel" say -q --exact --audio-temp 0 --temp 0 --json \
    "The kitchen light is on." -o said.wav
cp out said.json
python3 - <<'PY'
import json, struct
def put(name, table, kind="<i2"):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" % (
        kind, len(table), len(table[0]))
    head += " " * (-(10 + len(head) + 1) % 64) + "\n"
    cells = [c for row in table for c in row]
    with open(name, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() +
                struct.pack("<%d%s" % (len(cells), {"<i2": "h", "<i4": "i"}[kind]), *cells))
said = json.load(open("said.json"))["frames"]
assert said[-1] == [2048] * 8
table = [list(column) for column in zip(*said[:-1])]
put("said.npy", table)
put("other.npy", [[(c + 1) % 512 for c in row] for row in table], "<i4")
put("seven.npy", table[:7])
put("end.npy", [list(column) for column in zip(*said)])
for name, text in (("said", "The kitchen light is on."), ("other", "The kitchen light is on."),
                   ("seven", "x"), ("end", "x"), ("none", "x")):
    with open(name + ".jsonl", "w") as f:
        f.write(json.dumps({"codes": name + ".npy", "text": text}) + "\n")
open("wrongly.jsonl", "w").write(json.dumps({"codes": "said.npy", "text": "Play jazz."}) + "\n")
PY
for name in said other wrongly; do
    expect 0 "frames: $name" "${ask[@]}" --task frames --data $name.jsonl
    cp out $name.out
done
frames() { python3 - <<'PY'
import json
said, other, wrongly = (json.loads(list(open(n + ".out"))[-1])["total"]
                        for n in ("said", "other", "wrongly"))
frames = json.load(open("said.json"))["frames"]
assert said["best"] == 1 and said["frames"] == len(frames)
assert 0 < said["nll"] < 0.5 * other["nll"] and other["best"] < 0.2
assert said["nll"] < wrongly["nll"] and said["weighted"] < wrongly["weighted"]
assert abs(said["nll"] - said["weighted"]) > 1e-6
PY
}
check "frames: the figures" frames
expect 0 "frames, for people" "$runnel" eval -q --task frames --exact --data said.jsonl
holds "frames, for people" '^best codes  *100.00 %$'
refuse 5 "seven codebooks" "has 7 rows" "${refused[@]}" frames --data seven.jsonl
refuse 5 "an end frame in the file" "code 2048 is none" "${refused[@]}" frames --data end.jsonl
refuse 5 "codes that are lost" "none.npy" "${refused[@]}" frames --data none.jsonl
refuse 5 "references have no codes" "codes or text is missing" "${refused[@]}" frames \
    --data light.jsonl
refuse 3 "a model that does not speak" "cannot speak" "${refused[@]}" frames --data said.jsonl \
    -m "$data/base"

# ---- What is wrong is said in a sentence
refuse 2 "no task" "tasks are mmlu" "${refused[@]}" chess --data mmlu.jsonl
refuse 2 "no data" "with --data" "${refused[@]}" mmlu
refuse 2 "two things at once" "or a --task" "${refused[@]}" mmlu --data mmlu.jsonl --refs x
refuse 2 "turns without a chat" "--chat" "${refused[@]}" mmlu --shots-as-turns --data mmlu.jsonl
refuse 2 "nothing to go on with" "with -o" "${refused[@]}" mmlu --resume --data mmlu.jsonl
refuse 2 "kept of transcripts" "of a --task" "$runnel" eval --refs x -o y
printf 'a,b,c,d,e\n' > five.csv
refuse 5 "five fields" "row 1: it has not the six fields" "${refused[@]}" mmlu --data five.csv
printf '1,b,c,d,e,A\n"x,b,c,d,e,A\n' > open.csv
refuse 5 "a quotation mark" "row 2: a quotation mark is not closed" "${refused[@]}" mmlu \
    --data open.csv
refuse 2 "no room" "no room in a --context" "${refused[@]}" generate --data laid.jsonl \
    --context 64 --max-tokens 64
refuse 5 "no file" "nowhere: cannot be opened" "${refused[@]}" mmlu --data nowhere
refuse 5 "another task's file" "line 1: choices are not four" "${refused[@]}" mmlu \
    --data arc_easy.jsonl
refuse 5 "too few for shots" "fewer than --shots" "${refused[@]}" mmlu --data mmlu.jsonl --shots 4
refuse 5 "ids take no shots" "take no --shots" "${refused[@]}" choice --shots 1 \
    --data "$data/tasks/ids.jsonl"
refuse 5 "a context too small" "longer than the context" "${refused[@]}" choice --context 16 \
    --data <(printf '{"context": "x", "choices": ["%0100d", "b"], "gold": 0}' 7)
line='{"context": "a", "choices": ["b", "c"], "gold": 1}'
while IFS='|' read -r pattern text; do
    printf '%s\n\n%s\n' "$line" "$text" > bad.jsonl
    refuse 5 "$text" "line 3.*$pattern" "${refused[@]}" choice --data bad.jsonl
done <<'EOF'
no JSON|{"context": "a"
no JSON|[]x
context is missing|{"choices": ["b", "c"], "gold": 1}
choices are missing|{"context": "a", "gold": 1}
not 2 to 64|{"context": "a", "choices": ["b"], "gold": 0}
a choice is empty|{"context": "a", "choices": ["b", ""], "gold": 0}
a choice is empty|{"context": "a", "choices": ["b", 7], "gold": 0}
none of the choices|{"context": "a", "choices": ["b", "c"], "gold": 2}
none of the choices|{"context": "a", "choices": ["b", "c"], "gold": -1}
none of the choices|{"context": "a", "choices": ["b", "c"]}
lengths are not|{"context": "a", "choices": ["b", "c"], "gold": 0, "lengths": {"bytes": [1, 0]}}
something else|{"context": [1, "x"], "choices": [[1], [2]], "gold": 0}
is empty|{"context": [1], "choices": [[1], []], "gold": 0}
context is missing|[1]
EOF
line='{"prompt": "a", "answer": ["b", "c"]}'
while IFS='|' read -r pattern text; do
    printf '%s\n%s\n' "$line" "$text" > bad.jsonl
    refuse 5 "$text" "line 2.*$pattern" "${refused[@]}" generate --data bad.jsonl
done <<'EOF'
prompt is missing|{"answer": "b"}
answer is missing|{"prompt": "a"}
answer is missing|{"prompt": "a", "answer": []}
stop is no string|{"prompt": "a", "answer": "b", "stop": [1]}
extract is not|{"prompt": "a", "answer": "b", "extract": "best"}
wants a marker|{"prompt": "a", "answer": "b", "extract": "after_last"}
marker is no string|{"prompt": "a", "answer": "b", "marker": 1}
EOF
: > empty
refuse 5 "no document" "no document in it" "${refused[@]}" choice --data empty
printf '%s\n' '{"context": [1, 99999], "choices": [[1], [2]], "gold": 0}' > high.jsonl
refuse 5 "an id of another model" "no id of this model" "${refused[@]}" choice --data high.jsonl

summary
