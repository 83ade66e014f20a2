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

summary
