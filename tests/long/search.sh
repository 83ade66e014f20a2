#!/usr/bin/env bash
# A small search of real candidates by samples/search/run, killed on the way, and what it leaves:
# search.sh SOURCE BUILD. Minutes; what it finds says nothing. RUNNEL_SEARCH_WORK: a folder that
# keeps it. The search of docs/SEARCH.md is samples/search/run alone: hours, a quiet machine.
set -uo pipefail
source=$1 build=$2
. "$source/tests/support/campaign.sh"
campaign search
folder=${RUNNEL_SEARCH_WORK:-$work}
export RUNNEL=$build/runnel
run=(python3 -B "$source/samples/search/run" --tiny --work "$folder" --doc "$folder/doc.md")
printf '<!-- tables of samples/search/run: %s -->\n' begin end > "$folder/doc.md"

count() { # count LOG: candidates that it has
    cat "$folder/run/$1" 2> /dev/null | grep -c '"n":'
}
# killed LOG COUNT: the search is ended with no warning when the log has so many candidates
killed() {
    setsid "${run[@]}" 2> /dev/null &
    local leader=$! ticks=0
    while [ "$(count "$1")" -lt "$2" ] && kill -0 $leader 2> /dev/null && [ $ticks -lt 6000 ]; do
        sleep 0.1
        ticks=$((ticks + 1))
    done
    kill -KILL -- -$leader 2> /dev/null
    wait $leader 2> /dev/null
    cp "$folder/run/$1" "$folder/kept" 2> /dev/null
}
same_begin() { # what the log had stands there still
    cmp -s "$folder/kept" <(head -n "$(wc -l < "$folder/kept")" "$folder/run/$1")
}
killed log.jsonl 2
killed log.jsonl 5
check "killed in time" [ "$(count log.jsonl)" -ge 2 ]
killed random.jsonl 3
check "killed in the control" [ "$(count random.jsonl)" -ge 1 ]
check "to its end" "${run[@]}"
check "as many candidates" [ "$(count log.jsonl) $(count random.jsonl) $(count given.jsonl)" = \
    "6 6 1" ]
check "what was measured stays" same_begin random.jsonl
before=$(cat "$folder"/run/*.jsonl | cksum)
check "again, with nothing to do" "${run[@]}"
check "nothing was measured" [ "$(cat "$folder"/run/*.jsonl | cksum)" = "$before" ]
check "tables" grep -q "| LFM2's stack | seed 0 |" "$folder/doc.md"
check "a page" grep -q "<h2>Chance</h2>" "$folder/run/report.html"
check "measured hours later" [ -s "$folder/again.jsonl" ]
campaign_summary
