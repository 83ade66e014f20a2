# Sourced by ./demo and ./test: which Debian 12 packages each needs.
packages_build=(gcc libc6-dev make cmake pkg-config libfftw3-dev libsamplerate0-dev libjansson-dev
    libsndfile1-dev libflac-dev libvorbis-dev libmpg123-dev libopusenc-dev libopus-dev
    libspeexdsp-dev portaudio19-dev libpng-dev libjpeg62-turbo-dev libwebp-dev
    libcurl4-openssl-dev libssl-dev libwebsockets-dev zlib1g-dev libseccomp-dev
    opencl-c-headers ca-certificates)
packages_test=(g++ openssl libcmocka-dev libsimde-dev clang-format python3 pulseaudio
    pulseaudio-utils libasound2-plugins ffmpeg python3-dev python3-pip python3-venv
    python3-setuptools python3-wheel python3-cffi python3-numpy espeak-ng flite
    pocl-opencl-icd)
packages_fuzz=(clang libclang-rt-14-dev) # libFuzzer
# Further voices of the campaigns, synthetic and human; libraries that tools/make_corpus.py loads;
# the packages and a system for them (deb.sh).
packages_long=(libespeak-ng1 festival festvox-kallpc16k debootstrap lintian dpkg-dev
    oclgrind asterisk-core-sounds-en-g722)
packages_arm=(gcc-aarch64-linux-gnu libc6-dev make cmake pkg-config python3 qemu-user)
# Unpacked by tools/make_arm_sysroot.sh; the libraries of packages_build and packages_test.
packages_arm_libraries=(libc6-dev libfftw3-dev libsamplerate0-dev libjansson-dev libsndfile1-dev
    libflac-dev libvorbis-dev libmpg123-dev libopusenc-dev libopus-dev libspeexdsp-dev
    portaudio19-dev libpng-dev libjpeg62-turbo-dev libwebp-dev libcurl4-openssl-dev libssl-dev
    libwebsockets-dev zlib1g-dev libseccomp-dev libcmocka-dev opencl-c-headers)
