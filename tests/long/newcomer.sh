#!/usr/bin/env bash
# From README to the first spoken answer in a clean Debian: newcomer.sh SOURCE BUILD. The commands
# of "Building by hand" as they stand, then ./demo. Needs root, and Debian's mirror.
set -uo pipefail
source=$(realpath "$1")
. "$source/tests/support/clean_debian.sh"
clean_debian_is_possible || { echo "skipped: this needs root and debootstrap"; exit 77; }
. "$source/tests/support/campaign.sh"
campaign new
root=
trap '[ -z "$root" ] || clean_debian_remove; rm -rf "$work"' EXIT

if ! clean_debian "$work/root" "$work/log"; then
    tail -n 3 "$work/log"
    echo "skipped: $mirror gives no system to build in"
    exit 77
fi
# The tree as it is cloned, with what is not committed yet.
mkdir "$root/root/runnel"
(cd "$source" && git ls-files -z --cached --others --exclude-standard |
    tar --null --files-from=- --ignore-failed-read -cf - 2> /dev/null) |
    tar -xf - -C "$root/root/runnel"
bash "$source/tests/support/readme_commands.sh" "$source/README.md" "## Building by hand" \
    > "$root/root/commands"
inside apt-get -q update > "$work/log" 2>&1
inside bash -c 'cd /root/runnel && bash -ex ../commands' > "$work/out" 2> "$work/log" ||
    tail -n 5 "$work/log"
check "the commands of README answer" grep -qx "The kitchen light is on." "$work/out"
check "with sound" [ "$(stat -c %s "$root/root/runnel/answer.wav")" -gt 20000 ]
check "a manual page" [ -s "$root/usr/local/share/man/man1/runnel-reply.1" ]
inside bash -c 'cd /root/runnel && ./demo' > "$work/out" 2> "$work/log" || tail -n 5 "$work/log"
check "./demo answers" grep -q "In Vienna it is snowy today." "$work/out"
check "three answers" [ "$(ls "$root"/root/runnel/answers/*.wav | wc -l)" -eq 3 ]

campaign_summary
