#!/usr/bin/env bash
# Clients as people have them: serve_clients.sh PROGRAM SOURCE FOLDER. OpenAI's own Python client by
# the programs of samples/clients, and Home Assistant's by the package wyoming, both kept in FOLDER
# (support/clients.sh); without PyPI the test is skipped.
. "$(dirname "$0")/common.sh"
. "$source/tests/support/server.sh"
. "$source/tests/support/clients.sh"

clients_python "$3" || exit 77
python=$clients programs=$source/samples/clients
same() { # same NAME A.wav B.wav: the samples, whatever the heads say
    check "$1" python3 - "$2" "$3" <<'PYTHON'
import sys
a, b = (open(name, "rb").read() for name in sys.argv[1:])
a, b = a[a.index(b"data") + 8:], b[b.index(b"data") + 8:]
assert a == b and len(a) > 20000, (len(a), len(b))
PYTHON
}

start clients --wyoming 0
export OPENAI_BASE_URL=http://127.0.0.1:$port/v1 OPENAI_API_KEY=none
expect 0 "transcribe.py" "$python" "$programs/transcribe.py" "$question"
holds "transcribe.py" "^Turn on the kitchen light.$"
words="The kitchen light is on."
"$runnel" say -q "$words" -o say.wav
"$runnel" reply -q "$question" -o reply.wav > reply.txt
expect 0 "say.py" "$python" "$programs/say.py" "$words" said.wav
same "say.py is say" said.wav say.wav
expect 0 "say.py flac" "$python" "$programs/say.py" "$words" said.flac
expect 0 "that is FLAC" "$runnel" transcribe -q said.flac
expect 0 "ask.py" "$python" "$programs/ask.py" "Turn on the kitchen light."
holds "ask.py" "^The kitchen light is on.$"
expect 0 "ask.py by voice" "$python" "$programs/ask.py" "$question" spoken.wav
holds "ask.py by voice" "^The kitchen light is on.$"
same "ask.py by voice is reply" spoken.wav reply.wav
expect 0 "wyoming" "$python" "$source/tests/api/wyoming_package.py" \
    "$(sed -n 's|^Wyoming at .* port ||p' clients.out)" "$question"
expect 0 "many kinds of turns" python3 "$source/tests/api/serve_events.py" "$port" "$source" events
expect 0 "events as the client has them" "$python" "$source/tests/support/check_events.py" events
kill -TERM "$server"
ends "SIGTERM" 0

summary
