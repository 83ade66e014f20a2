#include "serve/sound_in.h"

#include <stdlib.h>
#include <string.h>

#include "audio/file.h"
#include "picture/content.h"
#include "picture/picture.h"
#include "serve/base64.h"

static bool no_memory(api_error *error) {
    return api_fail(error, API_SERVER_OVERLOADED, NULL,
                    "There is no memory for the request now; try again later");
}

/* NULL: refused. free() it. */
static unsigned char *decode(const char *base64, size_t size, const char *param, size_t *made,
                             api_error *error) {
    unsigned char *bytes = malloc(base64_size_max(size));
    if (bytes == NULL) {
        (void)no_memory(error);
        return NULL;
    }
    if (base64_decode(base64, size, bytes, made)) return bytes;
    free(bytes);
    (void)api_fail(
        error, API_INVALID_VALUE, param,
        "'%s' is no base64; use the letters A to Z, a to z, 0 to 9, + and / and no spaces", param);
    return NULL;
}

/* ---- Sound ---- */

static bool grow(clip *c, size_t *cap, size_t cap_max) {
    size_t wanted = *cap == 0 ? 1 << 16 : 2 * *cap;
    if (wanted > cap_max) wanted = cap_max;
    float *grown = realloc(c->samples, wanted * sizeof *grown);
    if (grown == NULL) return false;
    c->samples = grown;
    *cap = wanted;
    return true;
}

/* Up to one sample more than allowed, which tells that it is too long. */
static rnl_status gather(sound_reader *r, size_t count_max, clip *c, rnl_error *why) {
    size_t cap = 0, got;
    for (;;) {
        if (c->count == count_max + 1) return RNL_ERR_TOO_LONG;
        if (c->count == cap && !grow(c, &cap, count_max + 1)) return RNL_ERR_MEMORY;
        const rnl_status status =
            sound_reader_read(r, c->samples + c->count, cap - c->count, &got, why);
        if (status != RNL_OK) return status == RNL_DONE ? RNL_OK : status;
        c->count += got;
    }
}

static bool refuse_places(const sound_reader *r, const char *param, api_error *error) {
    char text[API_MESSAGE_CAP];
    if (sound_reader_faults(r)->place_count == 0) return true;
    (void)sound_faults_text(sound_reader_faults(r), param, 0, text, sizeof text);
    return api_fail(error, API_INVALID_AUDIO, param, "%s", text);
}

static bool read_clip(sound_reader *r, const char *param, double seconds_max, size_t sample_max,
                      clip *out, api_error *error) {
    rnl_error why = {0};
    out->rate = sound_reader_info(r)->rate;
    const double longest = seconds_max * out->rate;
    const size_t count_max = longest < (double)sample_max ? (size_t)longest : sample_max;
    const rnl_status status = gather(r, count_max, out, &why);
    if (status == RNL_ERR_MEMORY) return no_memory(error);
    if (status == RNL_ERR_TOO_LONG)
        return api_fail(error, API_INVALID_AUDIO, param,
                        "'%s' is longer than %.4g s, or all sounds together than %zu samples; send "
                        "less, or use /v1/audio/transcriptions",
                        param, seconds_max, sample_max);
    if (status != RNL_OK) return api_fail(error, API_INVALID_AUDIO, param, "%s", why.text);
    return refuse_places(r, param, error);
}

bool clip_decode(const char *base64, size_t size, const char *param, double seconds_max,
                 size_t sample_max, clip *out, api_error *error) {
    sound_config config = sound_config_default();
    sound_kept *kept = NULL;
    sound_reader *r = NULL;
    rnl_error why = {0};
    size_t made;
    memset(out, 0, sizeof *out);
    config.no_ffmpeg = true;
    unsigned char *bytes = decode(base64, size, param, &made, error);
    if (bytes == NULL) return false;
    rnl_status status = sound_keep_bytes(param, bytes, made, &kept, &why);
    free(bytes);
    if (status == RNL_OK) status = sound_reader_open_kept(kept, &config, &r, &why);
    const bool done = status == RNL_OK ? read_clip(r, param, seconds_max, sample_max, out, error)
                                       : api_fail(error, API_INVALID_AUDIO, param, "%s", why.text);
    sound_reader_close(&r);
    sound_kept_close(&kept);
    if (!done) {
        free(out->samples);
        memset(out, 0, sizeof *out);
    }
    return done;
}

/* ---- Pictures ---- */

static bool begins(const char *text, size_t size, const char *word) {
    return size >= strlen(word) && memcmp(text, word, strlen(word)) == 0;
}

/* Steps over "data:image/...;base64,". */
static bool skip_head(const char **url, size_t *size) {
    static const char end[] = ";base64";
    const char *comma = memchr(*url, ',', *size);
    if (!begins(*url, *size, "data:image/") || comma == NULL) return false;
    const size_t head = (size_t)(comma - *url);
    if (head < sizeof end - 1 || memcmp(comma - (sizeof end - 1), end, sizeof end - 1) != 0)
        return false;
    *url += head + 1;
    *size -= head + 1;
    return true;
}

static bool decode_bitmap(const unsigned char *bytes, size_t size, const char *param,
                          int64_t pixel_max, bitmap *out, api_error *error) {
    const picture_content content = picture_content_of(bytes, size);
    picture p;
    rnl_error why = {0};
    if (size > BITMAP_FILE_MAX)
        return api_fail(error, API_INVALID_VALUE, param,
                        "'%s' has more than %d bytes; send a smaller picture", param,
                        BITMAP_FILE_MAX);
    /* Others would be a program's work, which a request does not start. */
    if (content != PICTURE_PNG && content != PICTURE_JPEG && content != PICTURE_WEBP)
        return api_fail(error, API_INVALID_VALUE, param,
                        "'%s' is no picture that is taken here; send PNG, JPEG or WebP", param);
    if (picture_decode(param, bytes, size, pixel_max, &p, &why) != RNL_OK)
        return why.status == RNL_ERR_MEMORY
                   ? no_memory(error)
                   : api_fail(error, API_INVALID_VALUE, param, "%s", why.text);
    *out = (bitmap){.pixels = p.pixels, .width = p.width, .height = p.height};
    return true;
}

bool bitmap_decode(const char *url, size_t size, const char *param, int64_t pixel_max, bitmap *out,
                   api_error *error) {
    size_t made;
    memset(out, 0, sizeof *out);
    if (memchr(url, ':', size) != NULL && !skip_head(&url, &size))
        return api_fail(error, API_INVALID_VALUE, param,
                        "'%s' is an address, and nothing is fetched here; send the picture itself "
                        "as data:image/png;base64,...",
                        param);
    unsigned char *bytes = decode(url, size, param, &made, error);
    const bool done = bytes != NULL && decode_bitmap(bytes, made, param, pixel_max, out, error);
    free(bytes);
    return done;
}
