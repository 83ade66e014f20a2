#!/usr/bin/env bash
# Every fuzz program for RUNNEL_FUZZ_SECONDS each (600): fuzz.sh SOURCE BUILD. Corpora begin with
# the reference data. Ends with `N passed, N failed`; a finding is left in BUILD/findings.
set -uo pipefail
source=$1 build=$2 seconds=${RUNNEL_FUZZ_SECONDS:-600}
command -v clang > /dev/null || { echo "skipped: clang is not installed"; exit 77; }
cd "$source" || exit 1
programs=(gguf safetensors tokenizer text)
cmake --preset fuzz --log-level=NOTICE > /dev/null && cmake --build --preset fuzz -j"$(nproc)" \
    --target "${programs[@]/#/fuzz_}" > "$build/fuzz-build.log" 2>&1 ||
    { tail "$build/fuzz-build.log"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{gguf,safetensors,tokenizer,text} "$build/findings"
head -c 60000 tests/data/gguf/tiny-Q4_0.gguf > "$work/gguf/a"
cp tests/data/gguf/mmproj-tiny-F16.gguf "$work/gguf/b"
cp tests/data/tiny/variant-tts.safetensors "$work/safetensors/a"
cp tests/data/tiny/tokenizer.json "$work/tokenizer/a"
cp tests/data/text/cases.json "$work/text/a"
passed=0 failed=0
for name in "${programs[@]}"; do
    if "build/fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=65536 -timeout=30 \
        -rss_limit_mb=4096 -artifact_prefix="$build/findings/$name-" "$work/$name" \
        > "$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    echo "fuzz_$name: $(grep '^Done' "$work/log" || tail -1 "$work/log")," \
        "$(sed -n 's/.* \(cov: [0-9]*\).*/\1/p' "$work/log" | tail -1)"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
