# Sourced behind common.sh: servers with the demo model, which end with the test.
servers=()
# What is not allowed ends the server; a sanitizer does such things when it ends itself.
sandbox=(--sandbox kill)
grep -q "__[at]san_init" "$runnel" && sandbox=(--sandbox off)
trap 'kill -9 "${servers[@]}" 2> /dev/null; chmod -R u+w "$work"; rm -rf "$work"' EXIT

# start NAME OPTION...: a server on a free port; $port and $server.
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
