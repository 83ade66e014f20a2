/* JPEG through libjpeg-turbo, with its exact inverse transform and smooth colour differences: the
 * bytes that Pillow gives. CMYK as Adobe's programs write it: inverted. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "core/status.h"
#include "picture/exif.h"
#include "picture/format.h"

enum { SCAN_COUNT_MAX = 500 /* a progressive file of more is made to waste time */ };

typedef struct reading {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr faults;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    char reason[JMSG_LENGTH_MAX];
    uint8_t *line; /* [width, 4] of CMYK */
} reading;

static void on_error(j_common_ptr any) {
    reading *r = any->client_data;
    any->err->format_message(any, r->reason);
    longjmp(r->back, 1);
}

/* Warnings are of damage, after which the library would go on with grey; but for two that cost
 * nothing of the picture. */
static void on_message(j_common_ptr any, int level) {
    reading *r = any->client_data;
    const int code = any->err->msg_code;
    if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
        code == JWRN_JFIF_MAJOR)
        return;
    if (code == JWRN_JPEG_EOF)
        strcpy(r->reason, "it is cut off");
    else
        any->err->format_message(any, r->reason);
    longjmp(r->back, 1);
}

static void on_progress(j_common_ptr any) {
    reading *r = any->client_data;
    if (r->jpeg.input_scan_number <= SCAN_COUNT_MAX) return;
    strcpy(r->reason, "it has too many scans");
    longjmp(r->back, 1);
}

/* Ink on white, stored inverted: how much of white remains of each colour, and of all by black. */
static void rgb_of_cmyk(const uint8_t *cmyk, int width, uint8_t *rgb) {
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (int i = 0; i < 3; i++) {
            const int product = cmyk[i] * cmyk[3] + 128;
            rgb[i] = (uint8_t)((product + (product >> 8)) >> 8);
        }
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 &&
            memcmp(m->data, "Exif\0\0", 6) == 0)
            return exif_orientation(m->data, m->data_length);
    return 1;
}

/* The library comes back to the setjmp with its faults. What changes after it lies in *r and
 * *out. */
static rnl_status read_all(reading *r, const picture_source *s, picture *out, int *orientation,
                           rnl_error *error) {
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    if (setjmp(r->back) != 0) return picture_damaged(s, r->reason, error);
    jpeg_create_decompress(jpeg);
    jpeg->progress = &r->progress;
    jpeg_mem_src(jpeg, s->data, s->size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    (void)jpeg_read_header(jpeg, TRUE);
    const rnl_status status = picture_make(s, jpeg->image_width, jpeg->image_height, out, error);
    if (status != RNL_OK) return status;
    const bool cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    (void)jpeg_start_decompress(jpeg);
    r->line = malloc((size_t)out->width * 4);
    if (r->line == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for a picture is exhausted", s->name);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *row = out->pixels + 3 * (size_t)jpeg->output_scanline * (size_t)out->width;
        JSAMPROW target = cmyk ? r->line : row;
        if (jpeg_read_scanlines(jpeg, &target, 1) == 1 && cmyk)
            rgb_of_cmyk(r->line, out->width, row);
    }
    *orientation = orientation_of(jpeg); /* finishing frees the markers */
    (void)jpeg_finish_decompress(jpeg);
    return RNL_OK;
}

rnl_status jpeg_decode(const picture_source *s, picture *out, int *orientation, rnl_error *error) {
    reading *r = calloc(1, sizeof *r);
    if (r == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for a picture is exhausted", s->name);
    r->jpeg.err = jpeg_std_error(&r->faults);
    r->faults.error_exit = on_error;
    r->faults.emit_message = on_message;
    r->progress.progress_monitor = on_progress;
    r->jpeg.client_data = r;
    const rnl_status status = read_all(r, s, out, orientation, error);
    jpeg_destroy_decompress(&r->jpeg);
    free(r->line);
    free(r);
    return status;
}
