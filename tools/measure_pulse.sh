#!/usr/bin/env bash
# Voice to voice by sound cards in software: measure_pulse.sh BUILD_FOLDER [ROUNDS] [talk options].
# PulseAudio in user mode, its null sinks as loudspeaker and microphone; all questions of
# samples/questions are played to the microphone. Once with speculation and once without; prints the
# last lines of `runnel trace`. Used for docs/LATENCY.md.
set -euo pipefail
build=$(realpath "$1") rounds=${2:-1}
shift $(($# > 1 ? 2 : 1))
source=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
. "$source/tests/support/pulse_server.sh"
trap 'stop_server || true; rm -rf "$work"' EXIT
start_server || { echo "PulseAudio cannot be started: $(tail -1 "$work/pulse.log")"; exit 1; }
for how in "" --no-speculation; do
    # shellcheck disable=SC2086
    "$build/runnel" talk --quiet --input pulse --output pulse --trace "$work/trace.jsonl" $how \
        "$@" > "$work/said" 2> "$work/err" &
    pid=$!
    sleep 4
    for _ in $(seq "$rounds"); do
        for question in "$source"/samples/questions/*.wav; do
            before=$(wc -l < "$work/trace.jsonl")
            paplay -d room "$question"
            for _ in $(seq 300); do
                [ "$(wc -l < "$work/trace.jsonl")" -eq "$before" ] || break
                sleep 0.1
            done
            sleep 0.$((RANDOM % 10))
        done
    done
    kill -INT "$pid"
    wait "$pid"
    echo "${how:-with speculation}: $(wc -l < "$work/trace.jsonl") turns"
    "$build/runnel" trace --quiet "$work/trace.jsonl" -o "$work/t.svg" |
        sed -e 's/  heard.*//' -n -e '1p' -e '/^p50/p' -e '/^p95/p' -e '/^max/p'
done
