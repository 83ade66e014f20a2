/* What the first bytes say that a picture is. */
#ifndef PICTURE_CONTENT_H
#define PICTURE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum picture_content {
    PICTURE_PNG,
    PICTURE_JPEG,
    PICTURE_WEBP,
    PICTURE_GIF, /* as all below: by ffmpeg */
    PICTURE_BMP,
    PICTURE_TIFF,
    PICTURE_HEIC,
    PICTURE_AVIF,
    PICTURE_NONE
} picture_content;

enum { PICTURE_HEAD_SIZE = 32 /* bytes that suffice */ };

picture_content picture_content_of(const unsigned char *head, size_t size);
/* "PNG", ...; for sentences. */
const char *picture_content_name(picture_content content);

#endif
