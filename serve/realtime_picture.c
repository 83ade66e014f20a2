/* Pictures of a client: data URIs, by the same code as those of chats. Decoded when they come, so
 * that what is wrong is told then; the pixels stay until the model is told of them, and are decoded
 * again where it is told again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/json_in.h"
#include "serve/realtime_inner.h"
#include "serve/sound_in.h"

static bool read_detail(const json *v, realtime_detail *out) {
    static const char *const words[] = {"auto", "low", "high"};
    if (json_is_null(v)) return true;
    for (int i = 0; i < 3; i++) {
        if (!json_in_is(v, words[i])) continue;
        *out = (realtime_detail)i;
        return true;
    }
    return false;
}

bool realtime_picture_read(realtime *rt, realtime_part *part, const json *object, const char *path,
                           api_error *f) {
    char param[API_PARAM_CAP];
    size_t size;
    bitmap m;
    const char *url = json_chars(json_get(object, "image_url"), &size);
    (void)snprintf(param, sizeof param, "%s.image_url", path);
    if (!rt->config.sees)
        return realtime_refuse(f, API_INVALID_VALUE, path,
                               "Invalid '%s': this model does not see; leave the picture out",
                               path);
    if (url == NULL)
        return realtime_refuse(f, API_MISSING_PARAMETER, param,
                               "Missing required parameter: '%s'; give data:image/png;base64,...",
                               param);
    if (!read_detail(json_get(object, "detail"), &part->detail))
        return realtime_refuse(f, API_INVALID_VALUE, path,
                               "Invalid '%s.detail': auto, low or high is expected", path);
    if (!bitmap_decode(url, size, param, rt->pixels_left, &m, f)) return false;
    rt->pixels_left -= (int64_t)m.width * m.height;
    part->kind = REALTIME_PART_PICTURE;
    part->pixels = m.pixels;
    part->width = m.width;
    part->height = m.height;
    part->text = malloc(size + 1);
    if (part->text == NULL)
        return realtime_refuse(f, API_SERVER_OVERLOADED, path, "Memory is exhausted");
    memcpy(part->text, url, size);
    part->text[size] = 0;
    part->size = part->said_size = size;
    return true;
}

static bool copy_pixels(const realtime_part *part, bitmap *out) {
    const size_t size = realtime_part_pixel_size(part);
    *out = (bitmap){.pixels = malloc(size), .width = part->width, .height = part->height};
    if (out->pixels == NULL) return false;
    memcpy(out->pixels, part->pixels, size);
    return true;
}

bool realtime_picture_give(const realtime_part *part, realtime_piece *piece) {
    bitmap m;
    api_error ignored = {0};
    const bool made = part->pixels != NULL ? copy_pixels(part, &m)
                                           : bitmap_decode(part->text, part->size, "",
                                                           BITMAP_PIXELS_MAX, &m, &ignored);
    *piece = (realtime_piece){.one_view = part->detail == REALTIME_DETAIL_LOW};
    if (!made) return false;
    piece->pixels = m.pixels;
    piece->width = m.width;
    piece->height = m.height;
    return true;
}
