#include "serve/audiosocket.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KIND_END = 0x00,
    KIND_UUID = 0x01,
    KIND_DIGIT = 0x03,
    KIND_SOUND = 0x10, /* and the eight above it */
    KIND_ERROR = 0xff,
    HEAD_SIZE = 3,
    UUID_SIZE = 16,
    LATE_US = 100000,
    PIECE = 512 /* samples that are given on at once */
};

static const int rates[] = {8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000};

struct audiosocket {
    audiosocket_host host;
    unsigned char head[HEAD_SIZE];
    size_t head_size; /* bytes of it that are there */
    size_t left;      /* bytes of the message that are to come */
    unsigned char uuid[UUID_SIZE];
    size_t uuid_size;
    bool named, over;
    int kind, rate;     /* of the sound; rate 0: none came */
    int low_byte;       /* of a sample of which the high one is to come; -1: none */
    int64_t next_us;    /* when the next message is due */
    int64_t given;      /* samples of ours in all messages, */
    int64_t given_last; /* and in the last */
};

rnl_status audiosocket_create(const audiosocket_host *host, audiosocket **out) {
    audiosocket *a = *out = calloc(1, sizeof *a);
    if (a == NULL) return RNL_ERR_MEMORY;
    a->host = *host;
    a->low_byte = -1;
    return RNL_OK;
}

void audiosocket_destroy(audiosocket **a) {
    free(*a);
    *a = NULL;
}

static bool is_sound(int kind) {
    return kind >= KIND_SOUND && kind < KIND_SOUND + (int)(sizeof rates / sizeof *rates);
}

/* The head is whole. False: a message that cannot be, or that ends the call. */
static bool begin_message(audiosocket *a, int64_t now_us) {
    const int kind = a->head[0];
    a->left = (size_t)a->head[1] << 8 | a->head[2];
    if (kind == KIND_END || kind == KIND_ERROR) return false;
    if (kind == KIND_UUID) return !a->named && a->left == UUID_SIZE;
    if (!a->named) return false; /* the name comes first */
    if (kind == KIND_DIGIT) return a->left == 1;
    if (!is_sound(kind)) return true; /* of a newer Asterisk: passed over */
    if (a->rate != 0 && kind != a->kind) return false;
    if (a->rate == 0) a->next_us = now_us;
    a->kind = kind;
    a->rate = rates[kind - KIND_SOUND];
    return true;
}

static void take_sound(audiosocket *a, const unsigned char *bytes, size_t size) {
    float samples[PIECE];
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        if (a->low_byte < 0) {
            a->low_byte = bytes[i];
            continue;
        }
        samples[count++] = (float)(int16_t)(a->low_byte | bytes[i] << 8) / 32768.0f;
        a->low_byte = -1;
        if (count < PIECE) continue;
        a->host.sound(a->host.context, samples, count, a->rate);
        count = 0;
    }
    if (count > 0) a->host.sound(a->host.context, samples, count, a->rate);
}

/* Bytes of the name; false: it is whole and not wanted. */
static bool take_uuid(audiosocket *a, const unsigned char *bytes, size_t size) {
    memcpy(a->uuid + a->uuid_size, bytes, size);
    a->uuid_size += size;
    if (a->uuid_size < UUID_SIZE) return true;
    char text[AUDIOSOCKET_UUID_CAP];
    size_t used = 0;
    for (size_t i = 0; i < UUID_SIZE; i++) {
        const bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        used +=
            (size_t)snprintf(text + used, sizeof text - used, dash ? "-%02x" : "%02x", a->uuid[i]);
    }
    a->named = true;
    return a->host.began(a->host.context, text);
}

static bool take(audiosocket *a, const unsigned char *bytes, size_t size) {
    switch (a->head[0]) {
    case KIND_UUID:
        return take_uuid(a, bytes, size);
    case KIND_DIGIT:
        if (bytes[0] != '\0' && strchr("0123456789*#ABCD", bytes[0]) != NULL)
            a->host.digit(a->host.context, (char)bytes[0]);
        return true;
    default:
        if (is_sound(a->head[0])) take_sound(a, bytes, size);
        return true;
    }
}

rnl_status audiosocket_push(audiosocket *a, const char *bytes, size_t size, int64_t now_us) {
    const unsigned char *from = (const unsigned char *)bytes;
    for (size_t at = 0; at < size && !a->over;) {
        if (a->head_size < HEAD_SIZE) {
            a->head[a->head_size++] = from[at++];
            if (a->head_size == HEAD_SIZE) a->over = !begin_message(a, now_us);
        } else {
            const size_t count = size - at < a->left ? size - at : a->left;
            a->over = !take(a, from + at, count);
            a->left -= count;
            at += count;
        }
        if (a->head_size == HEAD_SIZE && a->left == 0) a->head_size = 0;
    }
    return a->over ? RNL_DONE : RNL_OK;
}

static void write_step(audiosocket *a) {
    int16_t samples[AUDIOSOCKET_STEP_CAP];
    const size_t count = (size_t)a->rate / 50;
    const size_t given = a->host.wanted(a->host.context, samples, count);
    assert(given <= count);
    memset(samples + given, 0, (count - given) * sizeof *samples);
    char bytes[HEAD_SIZE + 2 * AUDIOSOCKET_STEP_CAP];
    bytes[0] = (char)a->kind;
    bytes[1] = (char)(2 * count >> 8);
    bytes[2] = (char)(2 * count & 0xff);
    for (size_t i = 0; i < count; i++) {
        bytes[HEAD_SIZE + 2 * i] = (char)(samples[i] & 0xff);
        bytes[HEAD_SIZE + 2 * i + 1] = (char)((samples[i] >> 8) & 0xff);
    }
    a->host.write(a->host.context, bytes, HEAD_SIZE + 2 * count);
    a->given_last = (int64_t)given;
    a->given += (int64_t)given;
}

void audiosocket_tick(audiosocket *a, int64_t now_us, int64_t *next_us) {
    *next_us = INT64_MAX;
    if (a->rate == 0 || a->over) return;
    if (now_us - a->next_us > LATE_US) a->next_us = now_us;
    for (; a->next_us <= now_us; a->next_us += AUDIOSOCKET_STEP_US) write_step(a);
    *next_us = a->next_us;
}

int64_t audiosocket_heard(const audiosocket *a) {
    return a->given - a->given_last;
}

int audiosocket_rate(const audiosocket *a) {
    return a->rate;
}

void audiosocket_hang_up(audiosocket *a) {
    static const char message[HEAD_SIZE] = {KIND_END, 0, 0};
    if (!a->over) a->host.write(a->host.context, message, sizeof message);
    a->over = true;
}
