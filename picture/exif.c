#include "picture/exif.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"

enum { ORIENTATION = 0x0112, ENTRY_SIZE = 12 };

static unsigned number(const unsigned char *p, size_t size, bool big) {
    unsigned value = 0;
    for (size_t i = 0; i < size; i++) value |= (unsigned)p[i] << 8 * (big ? size - 1 - i : i);
    return value;
}

int exif_orientation(const unsigned char *data, size_t size) {
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0)) return 1;
    const bool big = data[0] == 'M';
    const size_t at = number(data + 4, 4, big);
    if (at > size || size - at < 2) return 1;
    const size_t count = number(data + at, 2, big);
    for (size_t i = 0; i < count && size - at >= 2 + (i + 1) * ENTRY_SIZE; i++) {
        const unsigned char *entry = data + at + 2 + i * ENTRY_SIZE;
        if (number(entry, 2, big) != ORIENTATION) continue;
        const unsigned type = number(entry + 2, 2, big);
        const unsigned value = number(entry + 8, type == 4 ? 4 : 2, big);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* How orientations 1 to 8 come from the stored picture: sides exchanged first, then mirrored. */
static const struct {
    bool swap, mirror_x, mirror_y;
} turns[] = {{false, false, false}, {false, true, false}, {false, true, true}, {false, false, true},
             {true, false, false},  {true, true, false},  {true, true, true},  {true, false, true}};

rnl_status exif_turn(picture *p, int orientation, const char *name, rnl_error *error) {
    if (orientation <= 1 || orientation > 8) return RNL_OK;
    const bool swap = turns[orientation - 1].swap;
    const int width = swap ? p->height : p->width, height = swap ? p->width : p->height;
    uint8_t *turned = malloc((size_t)width * (size_t)height * 3);
    if (turned == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for a picture is exhausted", name);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const int mx = turns[orientation - 1].mirror_x ? width - 1 - x : x;
            const int my = turns[orientation - 1].mirror_y ? height - 1 - y : y;
            const size_t from = swap ? (size_t)mx * (size_t)p->width + (size_t)my
                                     : (size_t)my * (size_t)p->width + (size_t)mx;
            memcpy(turned + 3 * ((size_t)y * (size_t)width + (size_t)x), p->pixels + 3 * from, 3);
        }
    free(p->pixels);
    *p = (picture){.pixels = turned, .width = width, .height = height};
    return RNL_OK;
}
