/* The orientation that cameras write, and turning by it. */
#ifndef PICTURE_EXIF_H
#define PICTURE_EXIF_H

#include "picture/picture.h"

/* Of a block of EXIF, which is a TIFF header and what follows; "Exif\0\0" may stand before it. 1 to
 * 8; 1 where there is none, or another value. */
int exif_orientation(const unsigned char *data, size_t size);

/* Turns the picture as the orientation says (family.md 2.2). RNL_ERR_MEMORY: *p is as it was. */
RNL_MUST_USE rnl_status exif_turn(picture *p, int orientation, const char *name, rnl_error *error);

#endif
