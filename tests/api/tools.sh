#!/usr/bin/env bash
# runnel chat with --tools and --json-schema: tools.sh PROGRAM SOURCE. The model is a random one
# that has the tokens of calls; what it says is noise, so calls are waited for.
. "$(dirname "$0")/common.sh"

cat > tools.json << 'JSON'
[{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"},
  "days": {"type": "integer", "minimum": 1}}, "required": ["city"]}},
 {"type": "function", "function": {"name": "now", "parameters": {}}}]
JSON
echo '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}' > schema.json
noise="-m $tiny --mode text --temp 2 --max-tokens 300"

# ---- What cannot be
refuse 3 "tools without tokens" "no tokens for calls" "$runnel" chat -m "$model" \
    --tools tools.json hello
refuse 5 "tools, no file" "nowhere.json" "$runnel" chat -m "$tiny" --tools nowhere.json hello
echo '[{"name": "f g"}]' > bad.json
refuse 5 "tools, a bad name" "bad.json.*name of a tool" "$runnel" chat -m "$tiny" --tools bad.json x
echo '{"type": "text"}' > bad.json
refuse 5 "schema, a bad type" "bad.json.*text" "$runnel" chat -m "$tiny" --json-schema bad.json x
echo '{' > bad.json
refuse 5 "schema, no JSON" "bad.json.*line" "$runnel" chat -m "$tiny" --json-schema bad.json x
refuse 2 "schema, a limit below" "the shortest answer" "$runnel" chat -m "$tiny" \
    --json-schema schema.json --max-tokens 2 x
refuse 2 "schema, spoken" "mode" "$runnel" chat -m "$tiny" --json-schema schema.json \
    --mode interleaved x
refuse 2 "think" "show, hide or only" "$runnel" chat -m "$tiny" --think loud --mode text x

# ---- Answers of a form
expect 0 "schema" "$runnel" chat -q -m "$tiny" --json-schema schema.json --temp 1 --seed 4 \
    --max-tokens 30 hello
check "schema: it fits" python3 -c 'import json; v = json.load(open("out"))
assert list(v) == ["n"] and type(v["n"]) is int'
expect 0 "schema of a model that speaks" "$runnel" chat -q --json-schema schema.json hello
check "schema of a model that speaks: it fits" python3 -c 'import json; json.load(open("out"))["n"]'

# ---- A call, its result, and the answer to that
call=
for seed in $(seq 60); do
    "$runnel" chat -q $noise --tools tools.json --seed "$seed" hello > out 2> err < /dev/null
    call=$(tail -1 out | grep -a '^{"tool":"') && break
done
check "a call" [ -n "$call" ]
check "a keyword that is not held is told" grep -q '"minimum" is not held' <(
    "$runnel" chat $noise --tools tools.json hello 2>&1 < /dev/null)
{
    echo hello
    echo "no result"
    echo '{"result": {"sun": true}}'
} > lines
INPUT=lines expect 5 "a line that is no result" "$runnel" chat -q $noise --tools tools.json \
    --seed "$seed"
check "a line that is no result: the call is named" grep -q 'the result of [a-z]* is to come' err
printf 'hello\n{"result": {"sun": true, "t": 21.5}}\n' > lines
INPUT=lines expect 0 "a result" "$runnel" chat -q --json $noise --tools tools.json --seed "$seed"
check "json: the calls of an answer" python3 -c 'import json
first = json.loads(open("out").readline())
assert first["calls"] and all(c["tool"] in ("weather", "now") for c in first["calls"])'
summary
