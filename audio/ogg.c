/* See ogg.h. */
#include "audio/ogg.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ogg/ogg.h>

#include "audio/codec.h"
#include "core/status.h"

enum { FEED_SIZE = 4096 };

struct ogg_pages {
    sound_source *source;
    const char *mark;
    ogg_sync_state sync;
    ogg_stream_state stream;
    bool in_link; /* stream is alive */
    bool lost;    /* since the last part */
    bool whole;   /* the last page of the link was there */
};

ogg_pages *ogg_pages_create(sound_source *s, const char *mark) {
    ogg_pages *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->source = s;
    p->mark = mark;
    (void)ogg_sync_init(&p->sync);
    return p;
}

static void end_link(ogg_pages *p) {
    if (p->in_link) (void)ogg_stream_clear(&p->stream);
    p->in_link = false;
}

void ogg_pages_destroy(ogg_pages **out) {
    ogg_pages *p = *out;
    if (p == NULL) return;
    *out = NULL;
    end_link(p);
    (void)ogg_sync_clear(&p->sync);
    free(p);
}

static rnl_status no_memory(const ogg_pages *p, rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", p->source->name);
}

static rnl_status next_page(ogg_pages *p, ogg_page *page, bool *cut, rnl_error *error) {
    for (;;) {
        const long size = ogg_sync_pageseek(&p->sync, page);
        if (size > 0) return RNL_OK;
        if (size < 0) { /* bytes that are no page, or one whose checksum is wrong */
            p->lost = true;
            continue;
        }
        char *room = ogg_sync_buffer(&p->sync, FEED_SIZE);
        if (room == NULL) return no_memory(p, error);
        const size_t got = bytes_take(&p->source->b, room, FEED_SIZE);
        (void)ogg_sync_wrote(&p->sync, (long)got);
        if (got > 0) continue;
        const int left = p->sync.fill - p->sync.returned;
        *cut = left >= 4 && memcmp(p->sync.data + p->sync.returned, "OggS", 4) == 0;
        return RNL_DONE;
    }
}

static rnl_status begin_link(ogg_pages *p, ogg_page *page, rnl_error *error) {
    end_link(p);
    if (ogg_stream_init(&p->stream, ogg_page_serialno(page)) != 0) return no_memory(p, error);
    p->in_link = true;
    p->whole = false;
    return RNL_OK;
}

static void take_packets(ogg_pages *p, ogg_part *part) {
    ogg_packet packet;
    int result;
    while ((result = ogg_stream_packetout(&p->stream, &packet)) != 0) {
        if (result < 0)
            p->lost = true;
        else if (part->count < OGG_PACKET_CAP)
            part->packets[part->count++] = (ogg_data){.data = packet.packet, .size = packet.bytes};
    }
}

rnl_status ogg_pages_next(ogg_pages *p, ogg_part *part, bool *cut, rnl_error *error) {
    const size_t mark_size = strlen(p->mark);
    *cut = false;
    part->count = 0;
    part->headless = false;
    do {
        ogg_page page;
        const rnl_status status = next_page(p, &page, cut, error);
        if (status != RNL_OK) {
            part->lost = p->lost && !p->whole; /* what stands behind the end is not missed */
            return status;
        }
        part->first = ogg_page_bos(&page) && page.body_len >= (long)mark_size &&
                      memcmp(page.body, p->mark, mark_size) == 0;
        if (part->first) {
            const rnl_status begun = begin_link(p, &page, error);
            if (begun != RNL_OK) return begun;
        }
        /* Behind the end of a link stands the next one, or nothing. */
        const bool is_ours = p->in_link && ogg_page_serialno(&page) == (int)p->stream.serialno;
        const bool is_headless = !is_ours && p->whole && p->lost && !ogg_page_bos(&page);
        part->headless = part->headless || is_headless;
        if (is_headless) {
            const rnl_status begun = begin_link(p, &page, error);
            if (begun != RNL_OK) return begun;
        }
        if (!is_ours && !is_headless) continue; /* another stream beside ours */
        part->end = (int64_t)ogg_page_granulepos(&page);
        part->last = ogg_page_eos(&page) != 0;
        p->whole = part->last;
        (void)ogg_stream_pagein(&p->stream, &page);
        take_packets(p, part);
        part->lost = p->lost;
    } while (part->count == 0);
    p->lost = false;
    return RNL_OK;
}

int64_t ogg_last_time(const sound_source *s) {
    enum { TAIL_SIZE = 65536, HEAD_SIZE = 14 }; /* a page has less than 65,308 bytes */
    if (!s->regular || s->size < HEAD_SIZE) return -1;
    unsigned char *tail = malloc(TAIL_SIZE);
    const off_t at = s->size > TAIL_SIZE ? (off_t)(s->size - TAIL_SIZE) : 0;
    const ssize_t size = tail != NULL ? pread(s->fd, tail, TAIL_SIZE, at) : 0;
    int64_t time = -1;
    for (ssize_t i = size - HEAD_SIZE; i >= 0 && time < 0; i--) {
        if (memcmp(tail + i, "OggS", 4) != 0) continue;
        uint64_t granule = 0;
        for (int k = 7; k >= 0; k--) granule = granule << 8 | tail[i + 6 + k];
        if (granule <= INT64_MAX) time = (int64_t)granule;
    }
    free(tail);
    return time;
}

int64_t ogg_clock_gap(ogg_clock *c, const ogg_part *part, int64_t length, int rate) {
    const int64_t most = (int64_t)SOUND_GAP_SECONDS_MAX * rate;
    const bool is_told = part->end >= 0;
    /* A link that begins late was recorded from a stream; unless its beginning was lost. The last
     * time may cut the last packet: then the difference is negative. */
    const int64_t gap = is_told && (c->placed || part->lost) ? part->end - length - c->position : 0;
    const bool is_gap = gap > 0 && gap <= most && (part->lost || gap >= rate / 50);
    c->position = is_told ? part->end : c->position + length;
    c->placed = true;
    return is_gap ? gap : 0;
}
