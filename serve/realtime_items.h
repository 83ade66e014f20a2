/* Items of a conversation: messages, calls of functions, their results; and how they are shown. An
 * item has holders: the conversation, the response that makes it, a cut that waits for it. */
#ifndef SERVE_REALTIME_ITEMS_H
#define SERVE_REALTIME_ITEMS_H

#include "serve/json_out.h"
#include "serve/realtime_settings.h"

enum {
    REALTIME_PART_CAP = 64,      /* of a message of a client */
    REALTIME_SAID_MAX = 1 << 20, /* bytes of a reply's text */
};

typedef enum realtime_part_kind {
    REALTIME_PART_TEXT,
    REALTIME_PART_SOUND,  /* of a user, or of the assistant */
    REALTIME_PART_PICTURE /* of a user */
} realtime_part_kind;

typedef enum realtime_detail {
    REALTIME_DETAIL_AUTO,
    REALTIME_DETAIL_LOW,
    REALTIME_DETAIL_HIGH
} realtime_detail;

typedef struct realtime_part {
    realtime_part_kind kind;
    char *text;       /* [size] terminated; of sound: its transcript, NULL: not known; of a picture:
                       * its address, as it came */
    size_t size;      /* of what is shown */
    size_t said_size; /* of all that was ever said: an assistant's words that were cut off stay */
    size_t text_cap;
    realtime_format format; /* of sound */
    int16_t *samples;       /* [count] at the format's rate; NULL: not kept */
    size_t count, sample_cap;
    float *heard; /* [heard_count] 16 kHz, waits for the model; NULL: nothing waits */
    size_t heard_count;
    realtime_detail detail; /* of a picture */
    uint8_t *pixels;        /* [height, width, 3] waits for the model; NULL: nothing waits */
    int width, height;
} realtime_part;

typedef enum realtime_status {
    REALTIME_IN_PROGRESS,
    REALTIME_COMPLETED,
    REALTIME_INCOMPLETE
} realtime_status;

typedef struct realtime_item {
    int holders;
    char id[REALTIME_ID_CAP];
    uint32_t key; /* of its entry in the model's history; 0: nothing of it is for the model. Items
                   * of one response have one */
    realtime_role role;
    realtime_status status;
    realtime_part *parts; /* of a call: its arguments; of a result: the output */
    int part_count;
    char name[REALTIME_NAME_CAP]; /* of a call */
    char call_id[REALTIME_ID_CAP];
    /* Speech of the assistant. */
    int64_t first_us;   /* when the first delta went out */
    size_t made_before; /* samples at RNL_RATE_OUT of the reply ahead of this item */
    size_t made;        /* that went out and were not truncated, */
    size_t said_made;   /* or were */
    bool whole;         /* the reply ended by itself */
    bool settled;       /* what the model has of it was cut, once and for all */
} realtime_item;

/* With one holder and so many empty parts. NULL: memory is exhausted. */
realtime_item *realtime_item_new(realtime_role role, int part_count);
realtime_item *realtime_item_hold(realtime_item *item); /* returns it */
void realtime_item_drop(realtime_item **item);          /* NULL is fine; sets NULL */

/* Adds to the text of a part; false: too long, or memory is exhausted. */
bool realtime_part_say(realtime_part *part, const char *text, size_t size);
/* Bytes of sound that are kept. */
size_t realtime_item_sound_size(const realtime_item *item);
void realtime_item_drop_sound(realtime_item *item);
/* Bytes of pictures as they came, and their pixels. */
size_t realtime_item_picture_size(const realtime_item *item, int64_t *pixel_count);
size_t realtime_part_pixel_size(const realtime_part *part); /* bytes that wait */
bool realtime_item_has_speech(const realtime_item *item);   /* of the assistant */

typedef struct realtime_view {
    bool beta;
    bool sound; /* with its sound and pictures */
} realtime_view;
void realtime_item_write(const realtime_item *item, const realtime_view *view, const char *key,
                         json_out *o);

#endif
