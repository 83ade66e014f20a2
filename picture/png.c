/* PNG through libpng: every depth and colour as RGB of 8 bits, interlaced or not. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "core/status.h"
#include "picture/exif.h"
#include "picture/format.h"

enum { CHUNK_SIZE_MAX = 8 << 20, CHUNK_COUNT_MAX = 1000 };

/* What libpng's functions are called back with. */
typedef struct reading {
    const picture_source *s;
    size_t at;
    char reason[128];
    uint8_t **rows;
} reading;

static void on_error(png_structp png, png_const_charp text) {
    reading *r = png_get_error_ptr(png);
    const size_t size = strnlen(text, sizeof r->reason - 1);
    memcpy(r->reason, text, size);
    r->reason[size] = '\0';
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep out, png_size_t size) {
    reading *r = png_get_io_ptr(png);
    if (size > r->s->size - r->at) png_error(png, "it is cut off");
    memcpy(out, r->s->data + r->at, size);
    r->at += size;
}

/* Any kind of pixel as RGB of 8 bits; transparency is left out. */
static void ask_for_rgb(png_structp png, png_infop info) {
    const int colour = png_get_color_type(png, info);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (colour == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_bit_depth(png, info) == 16) png_set_strip_16(png);
    if ((colour & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
    (void)png_set_interlace_handling(png);
}

static int orientation_of(png_structp png, png_infop info) {
    png_bytep data = NULL;
    png_uint_32 size = 0;
    return png_get_eXIf_1(png, info, &size, &data) != 0 ? exif_orientation(data, size) : 1;
}

/* libpng comes back to the setjmp with its faults. What changes after it lies in *r and *out. */
static rnl_status read_all(png_structp png, png_infop info, reading *r, picture *out,
                           int *orientation, rnl_error *error) {
    if (setjmp(png_jmpbuf(png)) != 0) return picture_damaged(r->s, r->reason, error);
    png_set_read_fn(png, r, read_bytes);
    png_set_user_limits(png, PICTURE_SIDE_MAX, PICTURE_SIDE_MAX);
    png_set_chunk_malloc_max(png, CHUNK_SIZE_MAX);
    png_set_chunk_cache_max(png, CHUNK_COUNT_MAX);
    png_read_info(png, info);
    ask_for_rgb(png, info);
    const rnl_status status = picture_make(r->s, png_get_image_width(png, info),
                                           png_get_image_height(png, info), out, error);
    if (status != RNL_OK) return status;
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != 3 * (size_t)out->width)
        return picture_damaged(r->s, "its rows have an unknown layout", error);
    r->rows = malloc((size_t)out->height * sizeof *r->rows);
    if (r->rows == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for a picture is exhausted",
                           r->s->name);
    for (int y = 0; y < out->height; y++)
        r->rows[y] = out->pixels + 3 * (size_t)y * (size_t)out->width;
    png_read_image(png, r->rows);
    png_read_end(png, info); /* the orientation may stand behind the pixels */
    *orientation = orientation_of(png, info);
    return RNL_OK;
}

rnl_status png_decode(const picture_source *s, picture *out, int *orientation, rnl_error *error) {
    reading r = {.s = s};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    const rnl_status status =
        info != NULL
            ? read_all(png, info, &r, out, orientation, error)
            : status_fail(error, RNL_ERR_MEMORY, "%s: memory for a picture is exhausted", s->name);
    png_destroy_read_struct(&png, &info, NULL);
    free(r.rows);
    return status;
}
