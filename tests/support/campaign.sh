# Sourced by campaigns in shell (tests/long) that make large files. campaign NAME: a folder $work
# below RUNNEL_LONG_FOLDER (/tmp), removed at the end; then check, and campaign_summary at last.
campaign() {
    work=$(mktemp -d "${RUNNEL_LONG_FOLDER:-/tmp}/runnel-$1-XXXXXX")
    trap 'rm -rf "$work"' EXIT
    passed=0 failed=0
}

check() { # check NAME CONDITION...
    local name=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $name"; fi
}

campaign_summary() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
