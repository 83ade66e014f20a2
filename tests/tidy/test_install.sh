#!/usr/bin/env bash
# test_install.sh BUILD CONSUMER: installs into a temporary prefix, then builds and runs a user's
# program by pkg-config (shared; static, with only -lrunnel taken statically), by find_package, and
# as C++. Static linking takes the archive by name, because -static would drag in libc.
set -euo pipefail
build=$1
consumer=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix" # an installed tree may be moved
prefix=$work/prefix

for file in include/runnel/runnel.h lib/*/librunnel.a lib/*/librunnel.so lib/*/pkgconfig/runnel.pc \
    lib/*/cmake/runnel/runnel-config.cmake; do
    compgen -G "$prefix/$file" >/dev/null || compgen -G "$prefix/${file/\/\*/}" >/dev/null ||
        { echo "not installed: $file" && exit 1; }
done

pc=$(find "$prefix" -name runnel.pc)
export PKG_CONFIG_PATH=${pc%/*}
libdir=$(pkg-config --variable=libdir runnel)
export LD_LIBRARY_PATH=$libdir
warnings=(-Wall -Wextra -Werror)

read -ra flags < <(pkg-config --cflags --libs runnel)
cc -std=c11 "${warnings[@]}" "$consumer/consumer.c" -o "$work/shared" "${flags[@]}"
"$work/shared"

read -ra flags < <(pkg-config --cflags --libs --static runnel)
flags=("${flags[@]/#-lrunnel/-l:librunnel.a}")
cc -std=c11 "${warnings[@]}" "$consumer/consumer.c" -o "$work/static" "${flags[@]}"
env -u LD_LIBRARY_PATH "$work/static"
if ldd "$work/static" | grep -q librunnel; then
    echo "the static program loads librunnel.so" && exit 1
fi

read -ra flags < <(pkg-config --cflags --libs runnel)
c++ -std=c++17 "${warnings[@]}" -x c++ "$consumer/consumer.c" -x none -o "$work/cpp" "${flags[@]}"
"$work/cpp"

cmake -S "$consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/build" >/dev/null
"$work/build/with_shared"
"$work/build/with_static"

if [ -x "$prefix/bin/runnel" ]; then
    "$prefix/bin/runnel" --version
    "$prefix/bin/runnel" man reply | cmp - "$prefix/share/man/man1/runnel-reply.1"
    for shell in bash:bash-completion/completions/runnel zsh:zsh/site-functions/_runnel \
        fish:fish/vendor_completions.d/runnel.fish; do
        "$prefix/bin/runnel" completions "${shell%%:*}" | cmp - "$prefix/share/${shell#*:}"
    done
fi
