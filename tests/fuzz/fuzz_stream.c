/* Any bytes as what comes through a pipe: after a first byte that chooses, each decoder that reads
 * in order, whatever the head says. */
#include <fcntl.h>
#include <string.h>

#include "audio/codec.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK = 512, FRAME_MAX = 1 << 21 };

static rnl_status open_chosen(int choice, sound_source *s, sound_decoder *d, sound_info *info,
                              rnl_error *error) {
    sound_config c = sound_config_default();
    c.raw_channels = 1 + choice / 8 % SOUND_CHANNEL_CAP;
    c.raw_format = (sound_raw_format)(choice / 64 % 3);
    switch (choice % 8) {
    case 0:
        return pcm_open_raw(s, &c, d, info, error);
    case 1:
        return opus_open(s, d, info, error);
    case 2:
        return vorbis_open(s, d, info, error);
    case 3:
        return flac_open(s, d, info, error);
    case 4:
        return mpeg_open(s, d, info, error);
    default:
        return pcm_open_riff(s, d, info, error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static float frames[BLOCK * 256]; /* the reader refuses many channels, a decoder may not */
    if (size < 1) return 0;
    sound_source *s;
    rnl_error error;
    if (source_open(temp_file(data + 1, size - 1), &s, &error) != RNL_OK) return 0;
    sound_decoder d = {0};
    sound_info info = {0};
    const rnl_status status = open_chosen(data[0], s, &d, &info, &error);
    if (status == RNL_OK && info.file_channels >= 1 && info.file_channels <= 255) {
        int64_t total = 0;
        while (total < FRAME_MAX) {
            sound_part p = {.frames = frames, .cap = BLOCK};
            if (d.read(d.state, &p, &error) != RNL_OK) break;
            if (p.count < 1 || p.count > BLOCK || p.gap < 0) abort();
            total += (int64_t)p.count;
        }
    }
    if (status == RNL_OK) d.close(d.state);
    source_close(&s);
    return 0;
}
