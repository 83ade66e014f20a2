# Sourced by campaigns in shell behind campaign.sh, with $build: start NAME OPTION... starts a
# server at a free port, $port and $server, its output in $work/NAME.out and NAME.err; all end with
# the campaign.
servers=()
export PYTHONDONTWRITEBYTECODE=1
trap 'kill -9 "${servers[@]}" 2> /dev/null; rm -rf "$work"' EXIT
start() {
    local name=$1
    shift
    "$build/runnel" serve -q --port 0 "$@" > "$work/$name.out" 2> "$work/$name.err" &
    server=$!
    servers+=("$server")
    port=
    for _ in $(seq 600); do
        port=$(sed -n 's|^ready at [^,]*:\([0-9]*\)/,.*|\1|p' "$work/$name.out")
        [ -z "$port" ] || return 0
        kill -0 "$server" 2> /dev/null || break
        sleep 0.1
    done
    cat "$work/$name.err"
    echo "FAILED: $name: the server does not get ready"
    exit 1
}
