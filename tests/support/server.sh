# Sourced by tests of `runnel serve`, behind tests/api/common.sh: servers on free ports, ended with
# the test.
servers=()
export PYTHONDONTWRITEBYTECODE=1 # clients have a module beside them
trap 'kill -9 "${servers[@]}" 2> /dev/null; chmod -R u+w "$work"; rm -rf "$work"' EXIT
# What is not allowed ends the server; a sanitizer does such things when it ends itself.
sandbox=(--sandbox kill)
grep -q "__[at]san_init" "$runnel" && sandbox=(--sandbox off)

# start NAME OPTION...: $port and $server; its output in NAME.out and NAME.err.
start() {
    local name=$1
    shift
    "$runnel" serve -q --port 0 "${sandbox[@]}" "$@" > "$name.out" 2> "$name.err" &
    server=$!
    servers+=("$server")
    port=
    for _ in $(seq 600); do
        port=$(sed -n 's|^ready at [^,]*:\([0-9]*\)/,.*|\1|p' "$name.out")
        [ -z "$port" ] || return 0
        kill -0 "$server" 2> /dev/null || break
        sleep 0.05
    done
    cp "$name.err" err
    fail "$name: the server does not get ready"
    return 1
}

# ends NAME CODE: the server of $server ends with this code.
ends() {
    local got=0
    wait "$server" || got=$?
    if [ "$got" -eq "$2" ]; then pass; else fail "$1: exit code $got, not $2"; fi
}
