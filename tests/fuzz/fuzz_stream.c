/* Any bytes as what comes through a pipe: after a first byte that chooses, a RIFF stream, an Opus
 * stream, or samples without a header. */
#include <fcntl.h>

#include "audio/codec.h"
#include "tests/fuzz/temp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK = 512, FRAME_MAX = 1 << 21 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static float frames[BLOCK * 256]; /* the reader refuses many channels, a decoder may not */
    static bytes b;
    if (size < 1) return 0;
    const int fd = open(temp_file(data + 1, size - 1), O_RDONLY);
    if (fd < 0) abort();
    bytes_begin(&b, fd);
    sound_config c = sound_config_default();
    sound_decoder d = {0};
    sound_info info = {0};
    rnl_error error;
    rnl_status status;
    c.raw_channels = 1 + data[0] / 4 % SOUND_CHANNEL_CAP;
    c.raw_format = (sound_raw_format)(data[0] / 32 % 3);
    if (data[0] % 4 == 0)
        status = pcm_open_raw("fuzz", &b, &c, &d, &info, &error);
    else if (data[0] % 4 == 1)
        status = opus_open_stream("fuzz", &b, &d, &info, &error);
    else
        status = pcm_open_riff("fuzz", &b, &d, &info, &error);
    if (status == RNL_OK && info.file_channels >= 1 && info.file_channels <= 255) {
        size_t got, total = 0;
        while (total < FRAME_MAX && d.read(d.state, frames, BLOCK, &got, &error) == RNL_OK) {
            if (got < 1 || got > BLOCK) abort();
            total += got;
        }
    }
    if (status == RNL_OK) d.close(d.state);
    (void)close(fd);
    return 0;
}
