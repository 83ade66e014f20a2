#!/usr/bin/env bash
# pipecat's own client of OpenAI's realtime protocol against a server: pipecat.sh SOURCE BUILD. A
# spoken question, then another into the answer; its frames come, and no error among them. Kept in a
# virtual environment of BUILD; without PyPI skipped.
set -uo pipefail
source=$(realpath "$1") build=$(realpath "$2")
"$build/runnel" serve --help > /dev/null 2>&1 || { echo "skipped: built without serve"; exit 77; }
. "$source/tests/support/campaign.sh"
campaign pipecat
. "$source/tests/support/long_server.sh"

room=$build/pipecat
if ! [ -e "$room/made" ]; then
    { python3 -m venv "$room" && "$room/bin/pip" install -q "pipecat-ai[openai]==1.14.0" &&
        touch "$room/made"; } > "$work/log" 2>&1 ||
        { tail -3 "$work/log"; echo "skipped: pipecat-ai cannot be had from PyPI"; exit 77; }
fi
start open --oversubscribe 100
check "pipecat" "$room/bin/python" "$source/tests/support/pipecat_talk.py" "$port" "$source"
campaign_summary
