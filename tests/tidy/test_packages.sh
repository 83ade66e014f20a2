#!/usr/bin/env bash
# tools/install_packages.sh waits for another package manager: test_packages.sh SOURCE. apt-get,
# dpkg-query, sudo and sleep are stand-ins, so that nothing is installed and nobody need be root.
set -u
source=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
mkdir bin
failed=0
fail() { echo "FAILED: $*"; sed 's/^/    /' err; failed=1; }

program() { printf '#!/bin/bash\n%s\n' "$2" > "bin/$1" && chmod +x "bin/$1"; }
program dpkg-query 'exit 1'
program sudo 'exec "$@"'
program sleep 'echo "$@" >> slept'
# Each call takes the first line of `answers` and fails with its words; without one, or with
# "works", it works.
program apt-get 'echo "$*" >> calls
[ -s answers ] || exit 0
answer=$(head -n 1 answers)
sed -i 1d answers
[ "$answer" != works ] || exit 0
echo "$answer" >&2
exit 100'

# run CODE NAME ANSWER...: what apt-get answers, call by call
run() {
    local code=$1 name=$2 got=0
    shift 2
    rm -f calls slept
    : > answers
    [ $# -eq 0 ] || printf '%s\n' "$@" > answers
    PATH=$work/bin:$PATH bash "$source/tools/install_packages.sh" one two > out 2> err || got=$?
    [ "$got" -eq "$code" ] || fail "$name: exit code $got, not $code"
}
calls() { # calls NAME UPDATES INSTALLS
    [ "$(grep -c ' update$' calls)" -eq "$2" ] || fail "$1: updates: $(cat calls)"
    [ "$(grep -c ' install .*one two$' calls)" -eq "$3" ] || fail "$1: installs: $(cat calls)"
}
says() { grep -q -- "$2" err || fail "$1: does not say '$2'"; }

lists="E: Could not get lock /var/lib/apt/lists/lock. It is held by process 20 (python3)"
dpkg="E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)"
old="E: Unable to lock directory /var/lib/apt/lists/"
admin="E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another \
process using it?"

run 0 "nothing in the way"
calls "nothing in the way" 1 1
[ ! -s err ] || fail "nothing in the way: speaks"
run 0 "the lists" "$lists" "$lists" "$old"
calls "the lists" 4 1
says "the lists" "waiting for another package manager (python3), up to 10 min"
[ "$(grep -c waiting err)" -eq 1 ] || fail "the lists: told more than once"
[ "$(cat slept | wc -l)" -eq 3 ] || fail "the lists: does not pause"
run 0 "dpkg" works "$dpkg" "$admin"
calls "dpkg" 1 3
says "dpkg" "(unattended-upgr)"
run 1 "no network" "E: Failed to fetch http://deb.debian.org"
says "no network" "apt-get update failed"
calls "no network" 1 0
export RUNNEL_APT_WAIT=0
run 1 "for ever" "$dpkg" "$dpkg"
says "for ever" "still at work"
calls "for ever" 1 0

[ "$failed" -eq 0 ] && echo "all as it should be"
exit "$failed"
