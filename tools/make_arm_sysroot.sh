#!/usr/bin/env bash
# make_arm_sysroot.sh FOLDER PACKAGE...: Debian's arm64 packages with all they depend on, unpacked
# into FOLDER, for the cross build (cmake/aarch64.cmake). apt resolves and checks them as for any
# machine, but with an architecture, lists and status of its own under FOLDER.apt: the host gets no
# foreign architecture and no package, and -dev packages that cannot be installed beside the host's
# are no trouble. No root needed. Does nothing when FOLDER already holds these packages.
set -euo pipefail

root=$1
shift
mark=$root/packages.txt
if [ -f "$mark" ] && [ "$(cat "$mark")" = "$*" ]; then
    exit 0
fi

echo "downloading arm64 packages into $root: $*"
apt=$root.apt
rm -rf "$root" "$apt"
mkdir -p "$root" "$apt/lists/partial" "$apt/archives/partial"
: >"$apt/status"
options=(-q -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Debug::NoLocking=1
    -o APT::Sandbox::User= -o Dir::State::lists="$PWD/$apt/lists"
    -o Dir::State::status="$PWD/$apt/status" -o Dir::Cache="$PWD/$apt"
    -o Dir::Cache::archives="$PWD/$apt/archives" -o Acquire::Languages=none
    -o DPkg::Post-Invoke= -o APT::Update::Post-Invoke= -o APT::Update::Post-Invoke-Success=)
run_apt() {
    apt-get "${options[@]}" "$@" >"$apt/log" 2>&1 && return
    cat "$apt/log" >&2
    echo "apt-get $1 for arm64 failed; its words are above" >&2
    exit 1
}
run_apt update
run_apt install --download-only --no-install-recommends "$@"
for archive in "$apt"/archives/*.deb; do
    dpkg-deb --extract "$archive" "$root"
done

# Links that name a place from / would leave the folder.
find "$root" -type l -lname '/*' | while read -r link; do
    target=$(readlink "$link")
    ln -sfn "$(realpath -sm --relative-to="$(dirname "$link")" "$root$target")" "$link"
done
rm -rf "$apt"
echo "$*" >"$mark"
