/* Timed words -> subtitles: at most 2 lines of 42 columns, 1 to 7 seconds, cut where a reader
 * expects it: at the end of a sentence, after a comma, at a pause; else so that the parts are of
 * one size. The usual limits of broadcasters' guides. */
#ifndef TEXT_SUBTITLES_H
#define TEXT_SUBTITLES_H

#include <runnel/runnel_transcript.h>

enum { SUBTITLE_COLUMNS = 42, SUBTITLE_LINES = 2, SUBTITLE_TEXT_CAP = 600 };
#define SUBTITLE_SECONDS_MIN 1.0
#define SUBTITLE_SECONDS_MAX 7.0

typedef struct subtitle {
    double begin, end;            /* s */
    char text[SUBTITLE_TEXT_CAP]; /* lines, '\n' between them, terminated */
} subtitle;

/* False stops: subtitles_add and _end then return false. */
typedef bool (*subtitle_fn)(void *context, const subtitle *s);

typedef struct subtitles {
    subtitle_fn emit;
    void *context;
    subtitle pending; /* may still be joined with what follows, or shown longer */
    bool has_pending;
} subtitles;

void subtitles_begin(subtitles *s, subtitle_fn emit, void *context);
/* The words of one segment (a sentence): text is what their text_at counts from. One is shown less
 * than a second only when the next comes too soon and both together do not fit. They never overlap.
 * False: emit said so, or no memory. */
bool subtitles_add(subtitles *s, const char *text, const rnl_word *words, size_t word_count);
bool subtitles_end(subtitles *s);

/* Columns of a text on a screen: two for a wide (East Asian) character, none for a mark. */
int subtitle_columns(const char *text, size_t size);
/* Puts text, its white space collapsed, into lines: out gets them with '\n' between. False when it
 * needs more than SUBTITLE_LINES lines or SUBTITLE_TEXT_CAP bytes. Of two lines both are as equal
 * as can be. A word longer than a line is cut. */
bool subtitle_wrap(const char *text, size_t size, char *out);

#endif
