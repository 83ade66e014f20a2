#!/usr/bin/env bash
# test_symbols.sh LIBRUNNEL.so LIBRUNNEL.a: both show rnl_ functions and nothing else.
set -euo pipefail

failed=0
check() { # check FILE NM-OPTION...
    local file=$1 names others
    shift
    names=$(nm "$@" --defined-only "$file" | awk 'NF == 3 { print $3 }')
    others=$(grep -v '^rnl_' <<<"$names" || true)
    if [ -n "$others" ]; then
        echo "$file shows more than rnl_ symbols:"
        sed 's/^/  /' <<<"$others"
        failed=1
    fi
    if [ "$(grep -c '^rnl_' <<<"$names")" -lt 20 ]; then
        echo "$file shows hardly any rnl_ symbol: is RNL_API missing?"
        failed=1
    fi
}
check "$1" -D
check "$2" -g
exit "$failed"
