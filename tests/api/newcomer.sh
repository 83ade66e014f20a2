#!/usr/bin/env bash
# From README to the first spoken answer, by commands copied from it: newcomer.sh BUILD SOURCE.
# Installing packages and compiling are stood in for by what was built already, and the prefix is
# a folder; in a clean Debian, with nothing stood in for: tests/long/newcomer.sh.
set -uo pipefail
build=$(realpath "$1") source=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; cat "$work/log"; failed=1; }
real=$(command -v cmake)

mkdir -p "$work/bin" "$work/tree"
cp "$source"/CMakePresets.json "$work/tree"
ln -s "$source/samples" "$work/tree/samples"
cat > "$work/bin/apt" <<'SH'
#!/bin/bash
[ "$1" = install ] && printf '%s\n' "${@:2}" > "$WORK/packages"
SH
cat > "$work/bin/cmake" <<SH
#!/bin/bash
echo "\$*" >> "$work/cmake"
case \$1 in
--preset | --build) [ -n "\$2" ] ;;
--install) [ "\$2 \$3 \$4" = "build/release --prefix /usr/local" ] &&
    exec "$real" --install "$build" --prefix "$work/usr/local" ;;
*) exit 1 ;;
esac
SH
chmod +x "$work"/bin/*
bash "$source/tests/support/readme_commands.sh" "$source/README.md" "## Building by hand" \
    > "$work/commands"
[ "$(wc -l < "$work/commands")" -ge 5 ] || { : > "$work/log"; fail "README has no commands"; }

cd "$work/tree" || exit 1
env -u RUNNEL_MODEL WORK="$work" PATH="$work/bin:$work/usr/local/bin:/usr/bin:/bin" \
    bash -e "$work/commands" > "$work/out" 2> "$work/log" || fail "a command of README"
grep -qx "The kitchen light is on." "$work/out" || fail "the answer: $(tail -n 1 "$work/out")"
[ "$(stat -c %s answer.wav)" -gt 20000 ] || fail "the answer has no sound"

# What README installs is what ./demo does, but for what comes along with a compiler.
. "$source/tools/packages.sh"
printf '%s\n' "${packages_build[@]}" | grep -vx 'libc6-dev\|make' | sort > "$work/needed"
sort "$work/packages" | diff - "$work/needed" > "$work/log" || fail "packages of README"
for preset in $(grep -o -- '--preset [a-z]*' "$work/cmake" | cut -d ' ' -f 2 | sort -u); do
    grep -q "\"name\": \"$preset\"" CMakePresets.json || fail "there is no preset $preset"
done

[ "$failed" -eq 0 ] && echo "all as README says"
exit "$failed"
