#!/usr/bin/env bash
# install_packages.sh PACKAGE...: installs the Debian packages that are missing. Asks nothing, says
# what it does, and leaves apt alone when everything is there. Needs root or sudo only then. Waits
# up to 10 min for another package manager.
set -euo pipefail

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "not a Debian system, so nothing is installed here; needed are: $*" >&2
    exit 0
fi

missing=()
for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "missing packages: ${missing[*]}; install them as root, there is no sudo here" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "installing with apt: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Another package manager may be at work, such as the updates that a fresh machine makes by itself.
# apt itself can wait for the lock of dpkg, but not for that of the lists: it is asked again.
wait_max=${RUNNEL_APT_WAIT:-600} # seconds, of all that is asked
locked='Could not get lock|Unable to lock|Unable to acquire the dpkg|is another process using it'
apt() {
    local told='' holder
    until "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y "$@" \
        >"$log" 2>&1; do
        if ! grep -Eq "$locked" "$log"; then
            cat "$log" >&2
            echo "apt-get $1 failed; its words are above" >&2
            exit 1
        fi
        if [ "$SECONDS" -ge "$wait_max" ]; then
            cat "$log" >&2
            echo "another package manager is still at work; run this again when it is done" >&2
            exit 1
        fi
        holder=$(sed -En 's/.*held by process [0-9]+ \(([^)]*)\).*/ (\1)/p' "$log" | head -n 1)
        [ -n "$told" ] || echo "waiting for another package manager$holder, up to 10 min" >&2
        told=1
        sleep 2
    done
}
apt update
apt install --no-install-recommends "${missing[@]}"
