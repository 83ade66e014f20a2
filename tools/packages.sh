# Sourced by ./demo and ./test: which Debian 12 packages each needs.
packages_build=(gcc libc6-dev make cmake pkg-config libfftw3-dev libsamplerate0-dev libjansson-dev
    libsndfile1-dev libopusfile-dev libopusenc-dev libopus-dev)
packages_test=(g++ libcmocka-dev clang-format python3)
