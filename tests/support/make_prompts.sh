#!/usr/bin/env bash
# What people say to a telephone, as 16 kHz WAV: make_prompts.sh FOLDER
# Debian packages: asterisk-core-sounds-en-g722 (a human voice, English) ffmpeg. Writes
# FOLDER/NAME.wav, 16 bit mono, a slash in a name as an underscore. Every run gives the same files.
set -euo pipefail
folder=$1
sounds=/usr/share/asterisk/sounds/en_US_f_Allison
mkdir -p "$folder"
cd "$sounds"
find . -name '*.g722' -printf '%P\n' | LC_ALL=C sort | while IFS= read -r name; do
    to=${name%.g722}
    ffmpeg -nostdin -v error -y -i "$name" -ar 16000 -ac 1 -bitexact "$folder/${to//\//_}.wav"
done
