/* Any bytes as a sound file, by the way that `runnel transcribe FILE` goes: WAV, Opus and whatever
 * libsndfile takes them for. What is given out must be numbers, and not more than a bound. */
#include <math.h>

#include "audio/file.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK = 2048, FRAME_MAX = 1 << 21 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static float frames[BLOCK * SOUND_CHANNEL_CAP];
    sound_config c = sound_config_default();
    sound_reader *r;
    rnl_error error;
    size_t got;
    c.per_channel = size % 2 != 0;
    (void)setenv("PATH", "/nowhere", 1); /* ffmpeg is not what is asked here */
    if (sound_reader_open(temp_file(data, size), &c, &r, &error) != RNL_OK) return 0;
    const int channels = sound_reader_info(r)->channels;
    if (channels < 1 || channels > SOUND_CHANNEL_CAP) abort();
    while (sound_reader_position(r) < FRAME_MAX &&
           sound_reader_read(r, frames, BLOCK, &got, &error) == RNL_OK) {
        if (got < 1 || got > BLOCK) abort();
        for (size_t i = 0; i < got * (size_t)channels; i++)
            if (!isfinite(frames[i])) abort();
    }
    sound_reader_close(&r);
    return 0;
}
