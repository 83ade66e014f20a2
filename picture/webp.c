/* WebP through libwebp; of an animation the first frame on black. */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "core/status.h"
#include "picture/exif.h"
#include "picture/format.h"

static int orientation_of(const WebPDemuxer *file) {
    WebPChunkIterator chunk;
    int orientation = 1;
    if (WebPDemuxGetChunk(file, "EXIF", 1, &chunk))
        orientation = exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
    return orientation;
}

static bool draw_frame(const WebPIterator *frame, picture *out) {
    const int width = frame->width, height = frame->height;
    const int x = frame->x_offset, y = frame->y_offset;
    if (x < 0 || y < 0 || width > out->width - x || height > out->height - y) return false;
    uint8_t *corner = out->pixels + 3 * ((size_t)y * (size_t)out->width + (size_t)x);
    const size_t room = 3 * ((size_t)out->width * (size_t)(out->height - y) - (size_t)x);
    return WebPDecodeRGBInto(frame->fragment.bytes, frame->fragment.size, corner, room,
                             3 * out->width) != NULL;
}

static rnl_status read_all(const picture_source *s, const WebPDemuxer *file, picture *out,
                           int *orientation, rnl_error *error) {
    WebPIterator frame;
    const rnl_status status = picture_make(s, WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH),
                                           WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT), out, error);
    if (status != RNL_OK) return status;
    memset(out->pixels, 0, 3 * (size_t)out->width * (size_t)out->height);
    const bool found = WebPDemuxGetFrame(file, 1, &frame) != 0;
    const bool drawn = found && draw_frame(&frame, out);
    WebPDemuxReleaseIterator(&frame);
    *orientation = orientation_of(file);
    return drawn ? RNL_OK : picture_damaged(s, "its first frame cannot be decoded", error);
}

rnl_status webp_decode(const picture_source *s, picture *out, int *orientation, rnl_error *error) {
    const WebPData data = {.bytes = s->data, .size = s->size};
    WebPDemuxer *file = WebPDemux(&data);
    if (file == NULL) return picture_damaged(s, "it is cut off, or no whole file", error);
    const rnl_status status = read_all(s, file, out, orientation, error);
    WebPDemuxDelete(file);
    return status;
}
