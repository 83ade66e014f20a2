/* Inside audio/: the pages of an Ogg stream, read in order. Checksums and numbers of pages tell
 * what was lost; parts that were joined (links, as Ogg has it) follow each other. */
#ifndef AUDIO_OGG_H
#define AUDIO_OGG_H

#include "audio/source.h"

enum { OGG_PACKET_CAP = 255 /* a page holds no more */ };

typedef struct ogg_data {
    const unsigned char *data; /* valid until the next page is asked for */
    long size;
} ogg_data;

/* The packets that end on one page of the stream that is heard. */
typedef struct ogg_part {
    ogg_data packets[OGG_PACKET_CAP];
    int count;
    int64_t end;   /* the time at the end of the last one, in the codec's samples; -1: not told */
    bool first;    /* a link begins: the packet is its head */
    bool headless; /* a link begins whose head was lost: the packets are some of it */
    bool last;     /* the link ends */
    bool lost;     /* something was lost before these packets, since the last part */
} ogg_part;

typedef struct ogg_pages ogg_pages;

/* The streams whose first packet begins with mark (not copied). NULL: no memory. */
ogg_pages *ogg_pages_create(sound_source *s, const char *mark);
void ogg_pages_destroy(ogg_pages **p); /* NULL is fine */
/* The next page with packets. RNL_OK; RNL_DONE: the end, with *cut: in the middle of a page, and
 * part->lost: something was lost behind the last part; RNL_ERR_MEMORY. */
rnl_status ogg_pages_next(ogg_pages *p, ogg_part *part, bool *cut, rnl_error *error);

/* The time that the last page of a file tells, in its codec's samples, for progress; -1: not known,
 * as of a pipe. */
int64_t ogg_last_time(const sound_source *s);

/* The place of a part in time: how long the link has been heard, in the codec's samples. */
typedef struct ogg_clock {
    int64_t position; /* samples of this link at the end of the latest part */
    bool placed;      /* there was one */
} ogg_clock;

/* Samples of time before a part, whose packets give `length`, that nothing was heard of; 0 when it
 * follows the last one. A difference of less than 20 ms is a muxer's rounding. */
int64_t ogg_clock_gap(ogg_clock *c, const ogg_part *part, int64_t length, int rate);

#endif
