#!/usr/bin/env bash
# The Debian packages: deb.sh SOURCE BUILD. Made anew, read by lintian, installed into a clean
# system, used there, and removed. Needs root, and Debian's mirror (RUNNEL_DEBIAN_MIRROR).
set -uo pipefail
source=$(realpath "$1")
. "$source/tests/support/clean_debian.sh"
clean_debian_is_possible || { echo "skipped: this needs root and debootstrap"; exit 77; }
work=$(mktemp -d "${RUNNEL_LONG_FOLDER:-/tmp}/runnel-deb-XXXXXX")
root=
trap '[ -z "$root" ] || clean_debian_remove; rm -rf "$work"' EXIT
passed=0 failed=0
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAILED: $*"; tail -n 5 "$work/log"; }
check() { # check NAME COMMAND...
    local name=$1
    shift
    if "$@" > "$work/log" 2>&1; then pass; else fail "$name"; fi
}

# ---- Made
cd "$source" || exit 1
check "configure" cmake --preset deb -DRUNNEL_WERROR=ON --log-level=NOTICE
check "build" cmake --build --preset deb -j"$(nproc)"
rm -f build/deb/*.deb
check "cpack" cpack --config build/deb/CPackConfig.cmake
mkdir "$work/packages"
cp build/deb/*.deb "$work/packages"
[ "$(ls "$work/packages" | sed 's/_.*//' | sort | tr '\n' ' ')" = \
    "librunnel-dev librunnel0 runnel " ] && pass || fail "three packages: $(ls "$work/packages")"
lintian --allow-root "$work"/packages/*.deb > "$work/lintian" 2> "$work/log"
cat "$work/lintian"
[ "$(grep -c '^E:' "$work/lintian")" -eq 0 ] && pass || fail "lintian"

# ---- Installed, in a system that has seen no compiler and no source tree
if ! clean_debian "$work/root" "$work/log"; then
    [ "$failed" -eq 0 ] || exit 1
    echo "skipped: $mirror gives no system to install into"
    exit 77
fi
cp "$work"/packages/*.deb "$root/var/tmp/"
cp samples/questions/light.wav samples/hello.c "$root/var/tmp/"
installed() { inside dpkg-query -W -f '${db:Status-Status}\n' "$1" 2> /dev/null; }
check "apt update" inside apt-get -q update
check "install runnel" inside sh -c \
    'apt-get -q -y --no-install-recommends install /var/tmp/runnel_*.deb'
[ "$(installed librunnel0)" != installed ] && pass || fail "the program needs no shared library"
check "--version" inside runnel --version
said=$(inside sh -c 'cd /var/tmp && runnel reply -q light.wav -o answer.wav' 2> "$work/log")
[ "$said" = "The kitchen light is on." ] && pass || fail "a spoken answer: '$said'"
[ "$(stat -c %s "$root/var/tmp/answer.wav")" -gt 20000 ] && pass || fail "its sound"
inside runnel doctor --input null > "$work/log" 2>&1
grep -q "/usr/share/runnel/minnow.gguf" "$work/log" && pass || fail "doctor finds the model"
for file in bash-completion/completions/runnel zsh/vendor-completions/_runnel \
    fish/vendor_completions.d/runnel.fish runnel/minnow.gguf \
    doc/runnel/examples/runnel-kiosk.service; do
    [ -s "$root/usr/share/$file" ] && pass || fail "$file is installed"
done
inside dpkg -L runnel | grep -c '/man1/runnel-[a-z]*\.1\.gz$' > "$work/log"
[ "$(cat "$work/log")" -eq "$(inside runnel --help | grep -c '^  [a-z]* ')" ] && pass ||
    fail "a page in the manual for each command" # minbase leaves the files themselves out

check "install librunnel-dev" inside sh -c 'apt-get -q -y --no-install-recommends install \
    /var/tmp/librunnel*.deb gcc libc6-dev pkg-config'
check "hello.c" inside sh -c 'cd /var/tmp && cc hello.c -o hello $(pkg-config --cflags --libs \
    runnel) -lm && ldd hello | grep -q librunnel.so.0'
said=$(inside sh -c 'cd /var/tmp && ./hello /usr/share/runnel/minnow.gguf light.wav hello.wav' \
    2> "$work/log")
grep -q "The kitchen light is on" <<< "$said" && pass || fail "hello says '$said'"

# ---- Removed
check "purge" inside apt-get -q -y --autoremove purge runnel librunnel0 librunnel-dev gcc \
    libc6-dev pkg-config
for name in runnel librunnel0 librunnel-dev; do
    [ -z "$(installed $name)" ] && pass || fail "$name is still there"
done
find "$root" -xdev -path "$root/var" -prune -o -iname '*runnel*' -print > "$work/log"
[ ! -s "$work/log" ] && pass || fail "files of it stay"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
