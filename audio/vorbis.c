/* Ogg Vorbis, page by page: a page tells the time at its end and its packets how long they are, so
 * what was lost before it is known exactly. Files that were joined (links, as Ogg has it) are one
 * sound. */
#include <stdlib.h>
#include <string.h>

#include <vorbis/codec.h>

#include "audio/codec.h"
#include "audio/ogg.h"
#include "core/status.h"

enum { HEADER_COUNT = 3 };

typedef struct vorbis_state {
    sound_source *source;
    ogg_pages *pages;
    ogg_part part;
    int packet_at;      /* packets of the part before it went through the decoder */
    int channels, rate; /* of the sound */
    bool in_link;       /* facts and notes are alive */
    int header_count;   /* headers of this link that were read; with all of them, decoder and block
                           are alive too */
    vorbis_info facts;
    vorbis_comment notes;
    vorbis_dsp_state decoder;
    vorbis_block block;
    bool dead;           /* the headers of this link were lost */
    int64_t dead_length; /* samples that it tells of so far */
    int64_t packet_index;
    long last_size; /* of the packet before, in samples of its window; 0: none to overlap with */
    ogg_clock clock;
    bool heard;  /* something of the sound was given out */
    int64_t gap; /* before the next samples */
    sound_flaw flaw;
} vorbis_state;

static void end_link(vorbis_state *s) {
    if (!s->in_link) return;
    if (s->header_count == HEADER_COUNT) {
        vorbis_block_clear(&s->block);
        vorbis_dsp_clear(&s->decoder);
    }
    vorbis_comment_clear(&s->notes);
    vorbis_info_clear(&s->facts);
    s->in_link = false;
}

static void begin_link(vorbis_state *s) {
    end_link(s);
    vorbis_info_init(&s->facts);
    vorbis_comment_init(&s->notes);
    s->in_link = true;
    s->header_count = 0;
    s->packet_index = 0;
    s->last_size = 0;
    s->clock = (ogg_clock){0};
}

/* A packet of the part as libvorbis takes it. */
static ogg_packet packet_of(vorbis_state *s, int i) {
    const ogg_part *p = &s->part;
    const bool is_last = i == p->count - 1;
    return (ogg_packet){.packet = (unsigned char *)(uintptr_t)p->packets[i].data,
                        .bytes = p->packets[i].size,
                        .b_o_s = p->first && i == 0,
                        .e_o_s = p->last && is_last,
                        .granulepos = is_last ? p->end : -1,
                        .packetno = s->packet_index++};
}

static rnl_status take_header(vorbis_state *s, ogg_packet *packet, rnl_error *error) {
    const char *name = s->source->name;
    bool good = vorbis_synthesis_headerin(&s->facts, &s->notes, packet) == 0;
    if (good && s->header_count == 0 && s->rate == 0) {
        s->rate = s->facts.rate > INT32_MAX ? 0 : (int)s->facts.rate;
        s->channels = s->facts.channels;
    }
    if (good && s->facts.rate != s->rate)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: a part that was joined on has %ld Hz instead of %d; decode the "
                           "parts one by one",
                           name, s->facts.rate, s->rate);
    if (good && s->header_count == HEADER_COUNT - 1) {
        good = vorbis_synthesis_init(&s->decoder, &s->facts) == 0;
        if (good) (void)vorbis_block_init(&s->decoder, &s->block);
    }
    if (!good) return status_fail(error, RNL_ERR_FORMAT, "%s: its Vorbis header is damaged", name);
    s->header_count++;
    return RNL_OK;
}

/* A link whose headers were lost cannot be heard; its times tell how long it was. */
static void begin_dead_link(vorbis_state *s) {
    end_link(s);
    s->dead = true;
    s->dead_length = 0;
}

static void end_dead_link(vorbis_state *s) {
    const int64_t most = (int64_t)SOUND_GAP_SECONDS_MAX * s->rate;
    if (!s->dead) return;
    s->dead = false;
    s->flaw = FLAW_DAMAGED;
    s->gap += s->dead_length < most ? s->dead_length : most;
}

static rnl_status take_headers(vorbis_state *s, rnl_error *error) {
    while (s->in_link && s->header_count < HEADER_COUNT && s->packet_at < s->part.count) {
        ogg_packet packet = packet_of(s, s->packet_at++);
        const rnl_status status = take_header(s, &packet, error);
        if (status == RNL_ERR_FORMAT && s->heard)
            begin_dead_link(s);
        else if (status != RNL_OK)
            return status;
    }
    return RNL_OK;
}

/* Samples that the packets of this part give, from the first that is sound. */
static int64_t part_length(vorbis_state *s) {
    int64_t length = 0;
    for (int i = s->packet_at; i < s->part.count; i++) {
        ogg_packet packet = {.packet = (unsigned char *)(uintptr_t)s->part.packets[i].data,
                             .bytes = s->part.packets[i].size};
        const long size = vorbis_packet_blocksize(&s->facts, &packet);
        if (size <= 0) continue;
        if (s->last_size > 0) length += s->last_size / 4 + size / 4;
        s->last_size = size;
    }
    return length;
}

/* The next part: its headers are read, what is left are packets of sound. */
static rnl_status more(vorbis_state *s, sound_part *p, rnl_error *error) {
    bool cut;
    const rnl_status status = ogg_pages_next(s->pages, &s->part, &cut, error);
    s->packet_at = 0;
    if (status == RNL_DONE) {
        end_dead_link(s);
        p->gap = s->gap;
        p->flaw = cut ? FLAW_CUT_OFF : s->part.lost ? FLAW_DAMAGED : s->flaw;
    }
    if (status != RNL_OK) return status;
    if (s->part.first || s->part.headless) end_dead_link(s);
    if (s->part.first) begin_link(s);
    if (s->part.headless) begin_dead_link(s);
    const rnl_status taken = take_headers(s, error);
    if (taken != RNL_OK) return taken;
    if (s->dead) {
        if (s->part.end > s->dead_length) s->dead_length = s->part.end;
        s->packet_at = s->part.count;
        return RNL_OK;
    }
    if (s->part.lost && s->heard) s->flaw = FLAW_DAMAGED;
    if (s->packet_at == s->part.count) return RNL_OK;
    if (s->part.lost) { /* no overlap across what was lost */
        (void)vorbis_synthesis_restart(&s->decoder);
        s->last_size = 0;
    }
    const int64_t length = part_length(s);
    s->gap += ogg_clock_gap(&s->clock, &s->part, length, s->rate);
    return RNL_OK;
}

/* ---- Reading ---- */

/* The next packet goes through the decoder. False: none is left of this page. */
static bool next_packet(vorbis_state *s) {
    if (s->packet_at == s->part.count) return false;
    ogg_packet packet = packet_of(s, s->packet_at++);
    if (vorbis_synthesis(&s->block, &packet) == 0)
        (void)vorbis_synthesis_blockin(&s->decoder, &s->block);
    else
        s->flaw = FLAW_DAMAGED;
    return true;
}

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    vorbis_state *s = state;
    float **planes;
    int count = 0;
    while (!s->in_link || s->header_count < HEADER_COUNT ||
           (count = vorbis_synthesis_pcmout(&s->decoder, &planes)) <= 0) {
        if (next_packet(s)) continue;
        const rnl_status status = more(s, p, error);
        if (status != RNL_OK) return status;
    }
    if ((size_t)count > p->cap) count = (int)p->cap;
    const int channels = s->facts.channels;
    for (int i = 0; i < count; i++) {
        float frame[UINT8_MAX + 1]; /* the header has a byte for the number of channels */
        for (int c = 0; c < channels; c++) frame[c] = planes[c][i];
        sound_fit_channels(frame, channels, p->frames + i * s->channels, s->channels, 1);
    }
    (void)vorbis_synthesis_read(&s->decoder, count);
    p->count = (size_t)count;
    p->gap = s->gap;
    p->flaw = s->flaw;
    s->gap = 0;
    s->flaw = FLAW_NONE;
    s->heard = true;
    return RNL_OK;
}

static void close_vorbis(void *state) {
    vorbis_state *s = state;
    end_link(s);
    ogg_pages_destroy(&s->pages);
    free(s);
}

rnl_status vorbis_open(sound_source *source, sound_decoder *d, sound_info *info, rnl_error *error) {
    vorbis_state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    s->source = source;
    s->pages = ogg_pages_create(source, "\1vorbis");
    sound_part none = {0};
    rnl_status status = RNL_OK;
    if (s->pages == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    while (status == RNL_OK && (!s->in_link || s->header_count < HEADER_COUNT))
        status = more(s, &none, error);
    if (status == RNL_DONE)
        status = status_fail(error, RNL_ERR_DATA, "%s: its Vorbis header is cut off", source->name);
    if (status == RNL_ERR_FORMAT) /* another decoder may do better */
        status = status_fail(error, RNL_ERR_DATA, "%s: its Vorbis header is damaged", source->name);
    if (status != RNL_OK) {
        close_vorbis(s);
        return status;
    }
    *info = (sound_info){.rate = s->rate,
                         .file_channels = s->channels,
                         .frame_count = ogg_last_time(source),
                         .format_name = "Ogg Vorbis"};
    *d = (sound_decoder){.read = read_frames, .close = close_vorbis, .state = s};
    return RNL_OK;
}
