#!/bin/bash
# Fetches the peer, llama.cpp, from PyPI and builds what the comparison runs: llama-bench,
# llama-batched-bench, llama-perplexity and llama-quantize. Twice: for this machine ("native") and
# for AVX2 only ("avx2"), the peer of `runnel --cpu avx2`. On a machine whose best is AVX2 the two
# are one build and a link.
#
#   tools/compare/build_peer.sh [--cache FOLDER] [--mtmd] [--native-only] [--jobs N]
#
# Ends with the paths of the programs. A second call builds only what is missing.
set -euo pipefail

# The version is pinned: figures of another version are figures of another peer.
version=0.3.36
sum=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
cache=/tmp/runnel-peer
targets=(llama-bench llama-batched-bench llama-perplexity llama-quantize)
jobs=2
both=yes
while (($#)); do
    case $1 in
    --cache) cache=${2:?--cache wants a folder} && shift 2 ;;
    --mtmd) targets+=(llama-mtmd-cli) && shift ;; # its encoders for clips of sound and pictures
    --native-only) both=no && shift ;;
    --jobs) jobs=${2:?--jobs wants a number} && shift 2 ;;
    *) echo "build_peer.sh: no option $1; see the head of the script" >&2 && exit 2 ;;
    esac
done

sdist=$cache/llama_cpp_python-$version.tar.gz
source=$cache/src/vendor/llama.cpp
mkdir -p "$cache"
if [[ ! -f $sdist ]]; then
    python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python \
        --dest "$cache" "llama-cpp-python==$version"
fi
echo "$sum  $sdist" | sha256sum --check --quiet
if [[ ! -d $source ]]; then
    mkdir -p "$cache/src"
    tar -xzf "$sdist" -C "$cache/src" --strip-components=1
fi

# gcc 12 takes _tile_loadconfig to read 8 bytes, drops the stores to the rest of the table, and the
# instruction faults: a barrier keeps them.
mmq=$source/ggml/src/ggml-cpu/amx/mmq.cpp
if ! grep -q 'runnel: barrier' "$mmq"; then
    barrier='__asm__ volatile("" : : "r"(\&tc) : "memory"); // runnel: barrier'
    sed -i "s|^\( *\)_tile_loadconfig(&tc);|\1$barrier\n&|" "$mmq"
    grep -q 'runnel: barrier' "$mmq" ||
        { echo "build_peer.sh: $mmq has no _tile_loadconfig(&tc) to patch" >&2 && exit 1; }
fi

build() { # name, cmake options
    local folder=$cache/$1 log=$cache/$1.log
    shift
    cmake -S "$source" -B "$folder" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DGGML_CCACHE=OFF "$@" >"$log" 2>&1
    nice -n 10 cmake --build "$folder" --target "${targets[@]}" -j"$jobs" >>"$log" 2>&1 ||
        { tail -20 "$log" >&2 && exit 1; }
}

build native -DGGML_NATIVE=ON
if [[ $(uname -m) != x86_64 || $both = no ]]; then
    echo "the native build only"
elif grep -qE 'avx512f|avx_vnni' /proc/cpuinfo; then
    build avx2 -DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON \
        -DGGML_BMI2=ON -DGGML_AVX512=OFF
else
    rm -rf "$cache/avx2"
    ln -s native "$cache/avx2"
    echo "this machine's best is AVX2: native and avx2 are one build"
fi
ls "$cache"/native/bin/llama-* "$cache"/avx2/bin/llama-* 2>/dev/null
