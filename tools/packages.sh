# Sourced by ./demo and ./test: which Debian 12 packages each needs.
packages_build=(gcc libc6-dev make cmake pkg-config libfftw3-dev libsamplerate0-dev libjansson-dev
    libsndfile1-dev libspeexdsp-dev portaudio19-dev)
packages_test=(g++ libcmocka-dev clang-format python3 pulseaudio pulseaudio-utils
    libasound2-plugins)
packages_long=(espeak-ng flite) # voices of the room campaign
