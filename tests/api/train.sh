#!/usr/bin/env bash
# Training from outside: what a run leaves, that it is used, that a run which was stopped goes on as
# if it had not been, refusals. train.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

model=$source/tests/data/tiny
python3 - <<'PY'
import json
with open("chats.jsonl", "w") as f, open("half.jsonl", "w") as half, \
        open("rest.jsonl", "w") as rest:
    for i in range(30):
        m = [{"role": "user", "content": f"Say {i}"},
             {"role": "assistant", "content": f"It is {i + 1}, " + ["yes", "no, never"][i % 2]}]
        line = json.dumps({"messages": m}) + "\n"
        f.write(line)
        (half if i < 15 else rest).write(line)
PY
learn=("$runnel" train -m "$model" --lora 2 --length 64 --batch 2 --lr 5e-3 --seed 3)
same() { # same NAME FOLDER FOLDER: byte for byte, but for paths of the model in them
    check "$1" diff -r "$2" "$3"
}

# ---- What a run leaves
expect 0 "a run" "${learn[@]}" --data chats.jsonl --hold 20 --best --steps 10 -o one
for word in "data: " "memory: " "step 10/10  loss" "held-out" "left 0 s" "use it: runnel chat"; do
    if grep -q -- "$word" err; then pass; else fail "stderr lacks '$word'"; fi
done
for file in adapter_config.json adapter_model.safetensors adapter.gguf log.jsonl \
    checkpoint/step-00000010/state.json checkpoint/best.safetensors; do
    check "$file" [ -s "one/$file" ]
done
check "two checkpoints stay" [ "$(ls -d one/checkpoint/step-* | wc -l)" -eq 2 ]
check "the loss falls" python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("one/log.jsonl")]
held = [r["held_out"] for r in rows if "held_out" in r]
loss = [r["loss"] for r in rows if "loss" in r]
assert len(loss) == 10 and held[-1] < held[0] and loss[-1] < loss[0]
PY

# ---- The same bytes
expect 0 "threads" "${learn[@]}" --data chats.jsonl --hold 20 --best --steps 10 -t 3 -q -o two
same "threads change no byte" one two
check "-q says nothing" [ ! -s err ]
expect 0 "two files" "${learn[@]}" --data half.jsonl --data rest.jsonl --hold 20 --best --steps 10 \
    --recompute -q -o three
same "the same lines in two files, and recomputation" one three
# Stopped by Ctrl-C at some step, and gone on.
long=("${learn[@]}" --data chats.jsonl --hold 20 --steps 200)
expect 0 "the whole" "${long[@]}" -q -o whole
"${long[@]}" -o cut 2> cut.err &
pid=$!
for _ in $(seq 200); do
    grep -q "step 20/200" cut.err && break
    sleep 0.05
done
kill -INT $pid
got=0
wait $pid || got=$?
cp cut.err err
check "Ctrl-C ends with 130, not $got" [ $got -eq 130 ]
check "and says how to go on" grep -q -- "--resume goes on" cut.err
check "no adapter of half a run" [ ! -e cut/adapter.gguf ]
expect 0 "gone on" "${long[@]}" -q --resume -o cut
same "a stopped run is the whole run" whole cut

# ---- In BF16, where the processor has it
expect 0 "a level without" "${learn[@]}" --data chats.jsonl --steps 2 --cpu scalar --bf16 -o scalar
check "says so" grep -q "warning: --bf16: the level of --cpu has no BF16" err
expect 0 "and the same" "${learn[@]}" --data chats.jsonl --steps 2 --cpu scalar -q -o plain
check "stays float32" cmp scalar/adapter.gguf plain/adapter.gguf
if grep -q avx512_bf16 /proc/cpuinfo; then
    near=("${learn[@]}" --data chats.jsonl --hold 20 --best --steps 10 --bf16 -q)
    expect 0 "in BF16" "${near[@]}" -o near
    expect 0 "threads" "${near[@]}" -t 3 -o near3
    same "threads change no byte of it" near near3
    check "other bytes" [ "$(cmp near/adapter.gguf one/adapter.gguf | wc -l)" -eq 1 ]
    refuse 2 "gone on in float32" '"bf16"' "${learn[@]}" --data chats.jsonl --hold 20 --best \
        --steps 10 -q --resume -o near
fi

# ---- The head as well
expect 0 "the head" "${learn[@]}" --targets all,lm_head --data chats.jsonl --steps 10 -q -o head
check "is named" grep -q '"lm_head"' head/adapter_config.json
check "as others are" grep -q 'feed_forward.w2"' head/adapter_config.json
expect 0 "the head alone" "${learn[@]}" --targets lm_head --data chats.jsonl --steps 1 -q -o alone
echo "Say 3" > said
check "is alone" [ "$(grep -c '"[a-z0-9_]*_proj"' alone/adapter_config.json)" -eq 0 ]
INPUT=said expect 0 "used" "$runnel" chat -m "$model" --lora head --mode text --max-tokens 4 -q
refuse 2 "not of sounds" "no matrix that gets an adapter" "$runnel" train -m "$model" \
    --data chats.jsonl --audio-targets lm_head -o x

# ---- All weights
expect 0 "all weights" "$runnel" train -m "$source/samples/minnow/minnow.gguf" --full --length 64 \
    --batch 2 --lr 3e-4 --data chats.jsonl --steps 2 -q -o full
check "a model" [ -s full/model.gguf ]
INPUT=said expect 0 "which answers" "$runnel" chat -m full/model.gguf --mode text --max-tokens 4 -q

# ---- From nothing: a byte's vocabulary would do; this one is tiny's
mkdir shape
cp "$model/tokenizer.json" shape
python3 - "$source/tests/data/quality/base/config.json" <<'PY'
import json, sys
c = json.load(open(sys.argv[1]))
c["vocab_size"] = 1216
json.dump(c, open("shape/config.json", "w"))
PY
new=("$runnel" train --from-scratch shape --length 64 --batch 2 --data chats.jsonl --steps 30 -q)
expect 0 "from nothing" "${new[@]}" -o new
check "it learns" python3 - <<'PY'
import json
loss = [r["loss"] for r in map(json.loads, open("new/log.jsonl")) if "loss" in r]
assert 6 < loss[0] < 9 and loss[-1] < 0.8 * loss[0], loss
PY
expect 0 "the same again" "${new[@]}" -t 2 -o again
check "start.gguf" cmp new/start.gguf again/start.gguf
check "model.gguf" cmp new/model.gguf again/model.gguf
INPUT=said expect 0 "it answers" "$runnel" chat -m new/model.gguf --max-tokens 4 -q
# ---- From nothing, with every operator and everything that layers can share
mkdir many
cp "$model/tokenizer.json" many
python3 - "$source/tests/data/stack/all/config.json" <<'PY'
import json, sys
c = json.load(open(sys.argv[1]))
c["vocab_size"] = 1216
json.dump(c, open("many/config.json", "w"))
PY
expect 0 "layers that differ" "$runnel" train --from-scratch many --length 64 --batch 2 \
    --data chats.jsonl --steps 30 -q -o differ
check "they learn" python3 - <<'PY'
import json
loss = [r["loss"] for r in map(json.loads, open("differ/log.jsonl")) if "loss" in r]
assert 6 < loss[0] < 9 and loss[-1] < 0.8 * loss[0], loss
PY
INPUT=said expect 0 "they answer" "$runnel" chat -m differ/model.gguf --max-tokens 4 -q
expect 0 "they are told" "$runnel" info differ/model.gguf
check "by kind" grep -q "2 convolution, 5 attention, 2 linear attention, 1 state space" out
check "by number" grep -q "3 to 7 taps, window 6, 2 to 4 heads of linear attention, state 8" out

refuse 2 "a model and none" "no model yet" "${new[@]}" -m "$model" -o x

# ---- Refusals
refuse 2 "no data" "give --data" "$runnel" train -m "$model" -o x
refuse 2 "no folder" "give --data" "$runnel" train -m "$model" --data chats.jsonl
refuse 2 "again" "stands there" "${learn[@]}" --data chats.jsonl -o one
refuse 2 "a rank" "is not R" "$runnel" train -m "$model" --lora 0:3 --data chats.jsonl -o x
refuse 2 "a target" "'wq'" "${learn[@]}" --targets q_proj,wq --data chats.jsonl -o x
refuse 2 "both" "exclude" "${learn[@]}" --full --data chats.jsonl -o x
refuse 6 "memory" "--memory allows" "${learn[@]}" --memory 1M --data chats.jsonl -o x
refuse 5 "a missing file" "nowhere.jsonl" "${learn[@]}" --data nowhere.jsonl -o x
echo '{"messages": [{"role": "user", "content": "x"}]}' > unanswered.jsonl
expect 5 "nothing learnt" "${learn[@]}" --data unanswered.jsonl -o x
check "nothing to learn" grep -q "nothing to learn from" err
printf '{"text": "fine"}\n{"text": 3}\n' > wrong.jsonl
refuse 5 "a wrong line" "wrong.jsonl, line 2: " "${learn[@]}" --data wrong.jsonl -o x
refuse 2 "other data" "other data" "${learn[@]}" --data half.jsonl --hold 20 --best --steps 10 -q \
    --resume -o one
expect 0 "a finished run" "${learn[@]}" --data chats.jsonl --hold 20 --best --steps 10 --resume -q \
    -o one
same "stays as it is" one two
expect 3 "experts" "$runnel" train -m "$source/tests/data/moe/moe-Q4_0.gguf" --data chats.jsonl -o x
check "experts do not learn" grep -q "the model has experts" err
mkdir closed && chmod a-w closed
[ "$(id -u)" -eq 0 ] || refuse 1 "a closed folder" "cannot be made" "${learn[@]}" --data \
    chats.jsonl -o closed/x
summary
