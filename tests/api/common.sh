# Sourced by the shell tests of the program: SCRIPT PROGRAM SOURCE. A folder to work in, counting,
# and the two questions asked of every command: which exit code, which sentence.
set -uo pipefail
runnel=$(realpath "$1") source=$(realpath "$2")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
model=$source/samples/minnow/minnow.gguf
tiny=$source/tests/data/gguf/tiny-F16.gguf
question=$source/samples/questions/light.wav
passed=0 failed=0
unset RUNNEL_MODEL NO_COLOR

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $*"; sed 's/^/    /' "$work/err" | head -5; }

# check NAME CONDITION...: one count.
check() {
    local name=$1
    shift
    if "$@"; then pass; else fail "$name"; fi
}

# expect CODE NAME COMMAND...: runs it; stdout to out, stderr to err. INPUT is its standard input.
expect() {
    local code=$1 name=$2 got=0
    shift 2
    "$@" > "$work/out" 2> "$work/err" < "${INPUT:-/dev/null}" || got=$?
    if [ "$got" -eq "$code" ]; then pass; else fail "$name: exit code $got, not $code"; fi
}

# refuse CODE NAME PATTERN COMMAND...: the code, and exactly one sentence with the pattern.
refuse() {
    local code=$1 name=$2 pattern=$3
    shift 3
    expect "$code" "$name" "$@"
    if [ "$(grep -c '^runnel: ' "$work/err")" -eq 1 ] && grep -q -- "$pattern" "$work/err"; then
        pass
    else
        fail "$name: no single sentence with '$pattern'"
    fi
    if [ -n "$(find "$work" -name '*.tmp-*')" ]; then fail "$name: left a temporary file"; fi
}

holds() { # holds NAME PATTERN: stdout of the last command
    if grep -q -- "$2" "$work/out"; then pass; else fail "$1: stdout lacks '$2'"; fi
}

summary() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
