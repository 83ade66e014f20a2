/* Frames of MPEG audio (MP1 to MP3) in a stream of bytes: their headers, and what stands between
 * them without being sound. */
#ifndef AUDIO_FRAMES_H
#define AUDIO_FRAMES_H

#include <runnel/runnel.h>

typedef struct frame_head {
    int version, layer; /* 1: MPEG-1, 2: MPEG-2, 3: MPEG-2.5; layer 1 to 3 */
    int rate, channels;
    int size;    /* bytes, with the header */
    int samples; /* of one channel */
} frame_head;

enum { FRAME_HEAD_SIZE = 4, FRAME_SIZE_CAP = 2048 /* 1,729 is the largest there can be */ };

/* The header at `at`; false: these are not the first bytes of a frame whose length is known. */
bool frame_parse(const unsigned char *at, frame_head *out);
/* Frames of one stream: they have a version, a layer and a rate in common. */
bool frames_agree(const frame_head *a, const frame_head *b);
/* Whether frames of one stream follow each other from the first byte on: three, or as many as fit
 * into size bytes, at least one whole. */
bool frames_begin_at(const unsigned char *head, size_t size);
/* The number of frames in a stream whose first frame is that of an encoder's notes (Xing, Info,
 * VBRI): 0 when they do not say; -1: it is a frame of sound. data [size of the frame]. */
int64_t frame_notes(const unsigned char *data, const frame_head *head);

/* Bytes of the tag (ID3v1, ID3v2, APE, lyrics) that begins at data [size]; 0: there is none. */
uint64_t frame_tag_size(const unsigned char *data, size_t size);

#endif
