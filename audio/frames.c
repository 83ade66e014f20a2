/* See frames.h. ISO 11172-3, 2.4.1.3 and 13818-3; MPEG-2.5 is Fraunhofer's extension to half the
 * rates. */
#include "audio/frames.h"

#include <string.h>

#include "audio/content.h"

bool frame_parse(const unsigned char *at, frame_head *out) {
    static const int versions[] = {3, 0, 2, 1}, rates[] = {44100, 48000, 32000};
    static const short bit_rates[5][15] = {
        {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448}, /* 1, layer 1 */
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},    /* 1, layer 2 */
        {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},     /* 1, layer 3 */
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},    /* 2, layer 1 */
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}};        /* 2, the others */
    const int version = versions[at[1] >> 3 & 3], layer = 4 - (at[1] >> 1 & 3);
    const int bit_rate_index = at[2] >> 4, rate_index = at[2] >> 2 & 3, padding = at[2] >> 1 & 1;
    if (at[0] != 0xff || (at[1] & 0xe0) != 0xe0 || version == 0 || layer == 4) return false;
    if (bit_rate_index == 0 || bit_rate_index == 15 || rate_index == 3) return false;
    if ((at[3] & 3) == 2) return false; /* an emphasis that does not exist */
    const int row = version == 1 ? layer - 1 : layer == 1 ? 3 : 4;
    const int bit_rate = 1000 * bit_rates[row][bit_rate_index];
    out->version = version;
    out->layer = layer;
    out->rate = rates[rate_index] >> (version - 1);
    out->channels = at[3] >> 6 == 3 ? 1 : 2;
    out->samples = layer == 1 ? 384 : layer == 3 && version > 1 ? 576 : 1152;
    out->size = layer == 1 ? (12 * bit_rate / out->rate + padding) * 4
                           : out->samples / 8 * bit_rate / out->rate + padding;
    return true;
}

bool frames_agree(const frame_head *a, const frame_head *b) {
    return a->version == b->version && a->layer == b->layer && a->rate == b->rate;
}

bool frames_begin_at(const unsigned char *head, size_t size) {
    frame_head first, next;
    if (size < FRAME_HEAD_SIZE || !frame_parse(head, &first)) return false;
    size_t at = (size_t)first.size;
    if (at > size) return false;
    for (int i = 1; i < 3 && at + FRAME_HEAD_SIZE <= size; i++) {
        if (!frame_parse(head + at, &next)) return frame_tag_size(head + at, size - at) > 0;
        if (!frames_agree(&first, &next)) return false;
        at += (size_t)next.size;
    }
    return true;
}

static int64_t big(const unsigned char *at) {
    return (int64_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

int64_t frame_notes(const unsigned char *data, const frame_head *head) {
    /* Behind the side information of layer 3, whose size depends on channels and version. */
    const bool stereo = head->channels == 2;
    const size_t side = head->version == 1 ? (stereo ? 32 : 17) : (stereo ? 17 : 9);
    const size_t at = FRAME_HEAD_SIZE + side, vbri = FRAME_HEAD_SIZE + 32;
    const size_t size = (size_t)head->size;
    if (head->layer != 3) return -1;
    if (at + 12 <= size && (memcmp(data + at, "Xing", 4) == 0 || memcmp(data + at, "Info", 4) == 0))
        return (data[at + 7] & 1) != 0 ? big(data + at + 8) : 0;
    if (vbri + 18 <= size && memcmp(data + vbri, "VBRI", 4) == 0) return big(data + vbri + 14);
    return -1;
}

uint64_t frame_tag_size(const unsigned char *data, size_t size) {
    enum { ID3V1 = 128, APE_HEAD = 32, LYRICS_CAP = 9999 };
    if (size >= 10 && memcmp(data, "ID3", 3) == 0) return content_tag_size(data);
    if (size >= 3 && memcmp(data, "TAG", 3) == 0) return ID3V1;
    if (size >= 16 && memcmp(data, "APETAGEX", 8) == 0) {
        /* The size counts items and footer; a flag of the header says that there is one. */
        const uint64_t tag = (uint64_t)data[12] | (uint64_t)data[13] << 8 |
                             (uint64_t)data[14] << 16 | (uint64_t)data[15] << 24;
        return tag + APE_HEAD;
    }
    if (size >= 11 && memcmp(data, "LYRICSBEGIN", 11) == 0)
        for (size_t i = 11; i + 9 <= size && i < LYRICS_CAP; i++)
            if (memcmp(data + i, "LYRICS200", 9) == 0 || memcmp(data + i, "LYRICSEND", 9) == 0)
                return i + 9;
    return 0;
}
