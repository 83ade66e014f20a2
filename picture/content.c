#include "picture/content.h"

#include <string.h>

static const struct {
    size_t at, size;
    const char *bytes;
    picture_content content;
} marks[] = {
    {0, 8, "\x89PNG\r\n\x1a\n", PICTURE_PNG},
    {0, 3, "\xff\xd8\xff", PICTURE_JPEG},
    {8, 4, "WEBP", PICTURE_WEBP}, /* behind RIFF and a size */
    {0, 4, "GIF8", PICTURE_GIF},
    {0, 4, "II*\0", PICTURE_TIFF},
    {0, 4, "MM\0*", PICTURE_TIFF},
    {4, 8, "ftypavif", PICTURE_AVIF},
    {4, 8, "ftypavis", PICTURE_AVIF},
    {4, 8, "ftypheic", PICTURE_HEIC},
    {4, 8, "ftypheix", PICTURE_HEIC},
    {4, 8, "ftypheim", PICTURE_HEIC},
    {4, 8, "ftyphevc", PICTURE_HEIC},
    {4, 8, "ftypmif1", PICTURE_HEIC},
    {4, 8, "ftypmsf1", PICTURE_HEIC},
};

/* Two letters are little: the header's own size, planes and depth have to fit as well. */
static bool is_bitmap(const unsigned char *head, size_t size) {
    if (size < 30 || memcmp(head, "BM", 2) != 0) return false;
    const unsigned header = head[14] | (unsigned)head[15] << 8;
    const unsigned planes = header == 12 ? head[22] : head[26];
    return (header == 12 || (header >= 40 && header <= 124)) && head[16] == 0 && head[17] == 0 &&
           planes == 1;
}

picture_content picture_content_of(const unsigned char *head, size_t size) {
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (size < marks[i].at + marks[i].size ||
            memcmp(head + marks[i].at, marks[i].bytes, marks[i].size) != 0)
            continue;
        if (marks[i].content != PICTURE_WEBP || memcmp(head, "RIFF", 4) == 0)
            return marks[i].content;
    }
    return is_bitmap(head, size) ? PICTURE_BMP : PICTURE_NONE;
}

const char *picture_content_name(picture_content content) {
    static const char *const names[] = {"PNG",  "JPEG", "WebP", "GIF",           "BMP",
                                        "TIFF", "HEIC", "AVIF", "unknown format"};
    return names[content];
}
