#!/usr/bin/env bash
# test_library_alone.sh TREE COMPILER: with RUNNEL_APPS=OFF the tree configures where no library for
# sound files, sound cards or the network is, and has the library's targets and no program; with
# RUNNEL_DEVICES=OFF it has no driver of a device. Builds nothing.
set -euo pipefail
tree=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/pkg-config" <<'EOF'
#!/bin/sh
case "$*" in
*sndfile* | *opus* | *portaudio* | *curl* | *crypto* | *libpng* | *libjpeg* | *webp*) exit 1 ;;
esac
exec pkg-config "$@"
EOF
chmod +x "$work/pkg-config"
configure() { # FOLDER OPTION...
    local folder=$1
    shift
    PKG_CONFIG=$work/pkg-config cmake -S "$tree" -B "$work/$folder" -DCMAKE_C_COMPILER="$compiler" \
        "$@" >"$work/$folder.log" 2>&1
}
compiler=$2

if configure whole; then
    echo "the program was configured without its libraries: they are not hidden"
    exit 1
fi
configure alone -DRUNNEL_APPS=OFF || {
    cat "$work/alone.log"
    exit 1
}
targets=$(cmake --build "$work/alone" --target help)
for name in runnel_static runnel_shared; do
    grep -qw "$name" <<<"$targets" || { echo "there is no target $name"; exit 1; }
done
for name in runnel_cli runnel_audio runnel_picture test_support; do
    ! grep -qw "$name" <<<"$targets" || { echo "there is a target $name"; exit 1; }
done
if grep -i 'werror' "$work/alone/CMakeCache.txt" | grep -q '=ON'; then
    echo "warnings are errors without -DRUNNEL_WERROR=ON"
    exit 1
fi
configure bare -DRUNNEL_APPS=OFF -DRUNNEL_DEVICES=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON || {
    cat "$work/bare.log"
    exit 1
}
# These open no library: the table, and what writes files of ONNX.
without='/(devices|encoder_device|onnx_(encoder|matrix|ops|set|stack|write))\.c'
drivers=$(grep -o '/devices/[a-z_]*\.[cS]"' "$work/bare/compile_commands.json" | sort -u |
    grep -Ev "$without" | tr -d '\n' || true)
[ -z "$drivers" ] || {
    echo "without devices these are built: $drivers"
    exit 1
}
