#!/usr/bin/env bash
# install_packages.sh PACKAGE...: installs the Debian packages that are missing. Asks nothing, says
# what it does, and leaves apt alone when everything is there. Needs root or sudo only then.
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
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1 && return
    cat "$log" >&2
    echo "apt-get $1 failed; its words are above" >&2
    exit 1
}
apt update
apt install --no-install-recommends "${missing[@]}"
