/* A sound device as the duplex sees it: something that calls a function with microphone samples and
 * with room for loudspeaker samples, and that owns a clock. Two kinds behind one table of verbs:
 *
 *   card   PortAudio (card.c). Callbacks come on PortAudio's threads; clock CLOCK_MONOTONIC.
 *   file   a WAV as microphone and a WAV as loudspeaker, or nothing ("null") (device_file.c).
 *          Callbacks come on the caller's thread inside wait and charge, in periods of 10 ms; the
 *          clock counts samples and starts at 0. With no file at all it keeps real time.
 *
 * Names: NULL or "default"; an index or a name (or a part of one that fits only one device) of
 * `runnel devices`; "file:PATH"; "null". A file on one side and a card on the other is refused:
 * they would need two clocks. */
#ifndef AUDIO_DEVICE_H
#define AUDIO_DEVICE_H

#include <runnel/runnel.h>

enum { DEVICE_NAME_CAP = 128, DEVICE_RATE_MIN = 4000, DEVICE_RATE_MAX = 768000 };

/* One callback. Mono samples at the device's rates. A device with one stream fills both halves;
 * with two streams each callback has one half, on two threads; in or out is NULL then. */
typedef struct device_block {
    const float *in; /* [in_count] */
    size_t in_count;
    float *out; /* [out_count], to be filled whole */
    size_t out_count;
    int64_t adc_us; /* the device's clock when in[0] was at the converter */
    int64_t dac_us; /* the device's clock when out[0] will be at the converter */
    bool in_lost;   /* the device dropped input before in[0] (overflow) */
    bool out_lost;  /* the device ran dry before out[0] (underflow) */
} device_block;

/* Must not allocate, lock, wait, log or call the system. */
typedef void (*device_fn)(void *context, const device_block *block);

typedef struct device_facts {
    char name_in[DEVICE_NAME_CAP], name_out[DEVICE_NAME_CAP]; /* "null" where there is none */
    int rate_in, rate_out;                                    /* Hz */
    bool one_clock; /* in and out come in lockstep: counts never drift apart */
    bool simulated; /* the clock is counted, not lived through */
    int64_t latency_in_us, latency_out_us; /* as the device claims */
    const struct sound_faults
        *faults; /* of a file as microphone: what is missing in it; else NULL */
} device_facts;

typedef struct device device;

typedef struct device_verbs {
    /* After a loss, stopped: looks for the same device again (host API and name); facts may
     * change. RNL_ERR_IO: not there. */
    rnl_status (*find)(device *d, rnl_error *error);
    /* Begins to call fn. RNL_ERR_IO: busy, or rate or channels refused. */
    rnl_status (*start)(device *d, device_fn fn, void *context, rnl_error *error);
    void (*stop)(device *d); /* no callback after it returns; not running is fine */
    int64_t (*now_us)(const device *d);
    /* Lets about us microseconds pass. RNL_ERR_IO: a loudspeaker file cannot be written. */
    rnl_status (*wait)(device *d, int64_t us, rnl_error *error);
    /* Tells of us microseconds of computing. Simulated: the clock moves by them, or by the fixed
     * cost; callbacks come meanwhile. Cards: nothing, time has passed by itself. */
    rnl_status (*charge)(device *d, int64_t us, rnl_error *error);
    bool (*input_over)(
        const device *d); /* the microphone's file is at its end: zeros from now on */
    /* Closes; a loudspeaker file is completed (RNL_ERR_IO: it cannot be) or, with abort,
     * removed. Sets NULL. */
    rnl_status (*finish)(device **d, bool abort, rnl_error *error);
} device_verbs;

struct device { /* the head of every kind */
    const device_verbs *verbs;
    device_facts facts; /* change with find only */
};

typedef struct device_config {
    const char *input, *output; /* names, see above; NULL (default) is "default" */
    int rate;           /* Hz asked of a card, [4000, 768000]; 0 (default): the device's own */
    double latency_ms;  /* asked of a card, each way: [1, 500], default 20 */
    double sim_cost_ms; /* file: fixed cost of each charge, >= 0; negative (default): as measured */
} device_config;

device_config device_config_default(void);

/* "file:...": then troubles of opening are troubles of a file, not of a card. */
bool device_is_file(const char *name);

/* Finds the devices, opens files; nothing runs yet. One sentence for each refusal.
 * Cards: RNL_ERR_IO (none there, no such, no microphone or loudspeaker in it).
 * Files: as sound_read and sound_writer_create. RNL_ERR_ARGUMENT: a file beside a card, a rate.
 * RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status device_open(const device_config *config, device **out, rnl_error *error);
/* The two kinds, as device_open picks them. */
RNL_MUST_USE rnl_status device_card_open(const device_config *config, device **out,
                                         rnl_error *error);
RNL_MUST_USE rnl_status device_file_open(const device_config *config, device **out,
                                         rnl_error *error);

/* What PortAudio knows, for `runnel devices`. */
typedef struct device_row {
    int index;
    char name[DEVICE_NAME_CAP], host[DEVICE_NAME_CAP];
    int in_channels, out_channels;
    double rate;                          /* Hz, the device's own */
    double latency_in_ms, latency_out_ms; /* low ones */
    bool default_in, default_out;
} device_row;

/* *rows [*count], in the order of their indices, to be freed with free(). RNL_ERR_IO: PortAudio
 * cannot start; RNL_ERR_MEMORY. No device is RNL_OK with *count == 0. */
RNL_MUST_USE rnl_status device_list(device_row **rows, size_t *count, rnl_error *error);

#endif
