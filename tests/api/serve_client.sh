#!/usr/bin/env bash
# Transcriptions, speech and chats of a server: serve_client.sh PROGRAM SOURCE [FOLDER]. What the
# program says by itself is what the server says, also to clients that come at once or go away
# (serve_words.py); then the official client, which is kept in FOLDER, where it can be had
# (serve_client.py).
. "$(dirname "$0")/common.sh"
. "$source/tests/support/server.sh"
. "$source/tests/support/clients.sh"

start client --upload-max 4000000 --oversubscribe 100
long="Yes. The light is **on**. It was off."
expect 0 "say" "$runnel" say -m "$model" -q -o long.wav "$long"
expect 0 "transcribe" "$runnel" transcribe -m "$model" -q -o heard.txt "$question"
expect 0 "chat" "$runnel" chat -m "$model" -q --mode text --system "Be brief." "Hello"
cp out said.txt
check "the words of the program" python3 "$source/tests/api/serve_words.py" "$port" "$question" \
    "$work" "$long"
if [ -n "${3:-}" ] && clients_python "$3"; then
    check "the official client" "$clients" "$source/tests/api/serve_client.py" \
        "http://127.0.0.1:$port/v1" "$question"
fi
kill -TERM "$server"
ends "SIGTERM" 0

# ---- Adapters, each a model of its own
config=$source/tests/data/tiny/config.json
python3 "$source/tests/support/make_adapter.py" "$config" voice 3
python3 "$source/tests/support/make_adapter.py" "$config" other 4
one=("$runnel" chat -m "$tiny" -q --mode text --max-tokens 20 "one two three")
"${one[@]}" > none.txt
"${one[@]}" --lora voice > voice.txt
start adapters -m "$tiny" --alias tiny --lora voice=voice --lora other=other:1 --oversubscribe 100
check "adapters" python3 "$source/tests/api/serve_adapters.py" "$port" tiny "$question" "$work"
kill -TERM "$server"
ends "SIGTERM" 0
refuse 2 "an adapter without a name" "NAME=FILE" "$runnel" serve --port 0 -m "$tiny" --lora voice
refuse 2 "a name that is taken" "--alias" "$runnel" serve --port 0 -m "$tiny" --alias tiny \
    --lora tiny=voice
refuse 2 "an adapter's scale" "scale" "$runnel" serve --port 0 -m "$tiny" --lora voice=voice:x

summary
