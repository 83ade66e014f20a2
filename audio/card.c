/* Sound cards by PortAudio; the only file that knows it. Three things of it are dealt with: its
 * times are the wall clock's, so only differences within one callback are taken; it sees no device
 * that comes or goes until it is started anew; and the libraries below it write to standard error
 * when they look for devices that are not there. */
#include "audio/device.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <portaudio.h>

#include "core/clock.h"
#include "core/status.h"

enum { PIECE = 1024 /* frames turned to mono at a time */, PERIODS_PER_SECOND = 100 };

/* One direction. */
typedef struct end {
    bool wanted, is_output;
    const char *asked; /* borrowed name, NULL: the default */
    char name[DEVICE_NAME_CAP], host[DEVICE_NAME_CAP];
    PaDeviceIndex index;
    int channels;
    double rate, latency;
} end;

typedef struct card {
    device head;
    end in, out;
    char asked_in[DEVICE_NAME_CAP], asked_out[DEVICE_NAME_CAP];
    int rate_asked;
    double latency_asked;    /* seconds */
    bool initialised, known; /* known: names and hosts are those of a device that was found */
    PaStream *streams[2];
    struct stream_end {
        struct card *card;
        bool has_in, has_out;
        float in[PIECE], out[PIECE];
    } ends[2];
    int stream_count;
    device_fn fn;
    void *context;
    float silence[PIECE];
} card;

/* ---- What the libraries below say is not for people ---- */

static int hush(void) {
    const int kept = dup(STDERR_FILENO), none = open("/dev/null", O_WRONLY);
    if (kept >= 0 && none >= 0) (void)dup2(none, STDERR_FILENO);
    if (none >= 0) (void)close(none);
    return kept;
}

static void speak(int kept) {
    if (kept < 0) return;
    (void)dup2(kept, STDERR_FILENO);
    (void)close(kept);
}

static PaError start_portaudio(void) {
    const int kept = hush();
    const PaError e = Pa_Initialize();
    speak(kept);
    return e;
}

static void copy_name(char *to, const char *from) {
    (void)snprintf(to, DEVICE_NAME_CAP, "%s", from);
}

/* ---- The callback ---- */

/* A difference of PortAudio's times, or the device's claim where it is nonsense. */
static int64_t sane_us(double seconds, int64_t claim_us) {
    return seconds > 0.0 && seconds < 1.0 ? (int64_t)(seconds * 1e6) : claim_us;
}

static void to_mono(const float *in, int channels, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) {
        float sum = 0.0f;
        for (int c = 0; c < channels; c++) sum += in[i * (size_t)channels + (size_t)c];
        out[i] = sum / (float)channels;
    }
}

static void from_mono(const float *in, int channels, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < channels; c++) out[i * (size_t)channels + (size_t)c] = in[i];
}

static int callback(const void *input, void *output, unsigned long frames,
                    const PaStreamCallbackTimeInfo *times, PaStreamCallbackFlags flags,
                    void *context) {
    struct stream_end *e = context;
    card *c = e->card;
    const device_facts *facts = &c->head.facts;
    const int64_t now = clock_us();
    const int64_t adc =
        now - sane_us(times->currentTime - times->inputBufferAdcTime, facts->latency_in_us);
    const int64_t dac =
        now + sane_us(times->outputBufferDacTime - times->currentTime, facts->latency_out_us);
    const int rate = e->has_in ? facts->rate_in : facts->rate_out;
    for (size_t at = 0; at < frames;) {
        const size_t n = frames - at < PIECE ? frames - at : PIECE;
        const int64_t later = (int64_t)at * 1000000 / rate;
        device_block b = {.adc_us = adc + later, .dac_us = dac + later};
        if (e->has_in) {
            b.in = e->in;
            b.in_count = n;
            b.in_lost = at == 0 && (flags & paInputOverflow) != 0;
            if (input != NULL)
                to_mono((const float *)input + at * (size_t)c->in.channels, c->in.channels, n,
                        e->in);
            else
                memset(e->in, 0, n * sizeof *e->in);
        }
        if (e->has_out) {
            b.out = e->out;
            b.out_count = n;
            b.out_lost = at == 0 && (flags & paOutputUnderflow) != 0;
        }
        /* A direction that nobody wanted keeps its half: silence in, thrown away out. */
        if (!c->in.wanted) {
            b.in = c->silence;
            b.in_count = n;
        }
        if (!c->out.wanted) {
            b.out = e->out;
            b.out_count = n;
        }
        c->fn(c->context, &b);
        if (e->has_out)
            from_mono(e->out, c->out.channels, n, (float *)output + at * (size_t)c->out.channels);
        at += n;
    }
    return paContinue;
}

/* ---- Finding ---- */

static int channels_of(const PaDeviceInfo *info, bool is_output) {
    return is_output ? info->maxOutputChannels : info->maxInputChannels;
}

static const char *host_of(const PaDeviceInfo *info) {
    const PaHostApiInfo *host = Pa_GetHostApiInfo(info->hostApi);
    return host != NULL ? host->name : "";
}

static bool contains(const char *text, const char *part) {
    for (; *text != '\0'; text++)
        if (strncasecmp(text, part, strlen(part)) == 0) return true;
    return false;
}

static bool is_number(const char *text) {
    if (*text == '\0' || strlen(text) > 4) return false;
    for (; *text != '\0'; text++)
        if (!isdigit((unsigned char)*text)) return false;
    return true;
}

static rnl_status none_there(bool is_output, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO,
                       "there is no sound device with a %s on this machine; plug one in or start "
                       "the sound server, `runnel devices` lists what is there",
                       is_output ? "loudspeaker" : "microphone");
}

/* The device of a name: the whole name first, then the only one that contains it. */
static rnl_status by_name(end *e, rnl_error *error) {
    PaDeviceIndex found = paNoDevice;
    int hits = 0;
    for (PaDeviceIndex i = 0; i < Pa_GetDeviceCount(); i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        if (channels_of(info, e->is_output) < 1) continue;
        if (strcasecmp(info->name, e->asked) == 0) {
            e->index = i;
            return RNL_OK;
        }
        if (!contains(info->name, e->asked)) continue;
        found = i;
        hits++;
    }
    e->index = found;
    if (hits == 1) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: %s %s of this name; see `runnel devices`", e->asked,
                       hits == 0 ? "there is no" : "there is more than one",
                       e->is_output ? "loudspeaker" : "microphone");
}

/* The device that was in use before it was lost. */
static rnl_status again(end *e, rnl_error *error) {
    for (PaDeviceIndex i = 0; i < Pa_GetDeviceCount(); i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        if (channels_of(info, e->is_output) < 1 || strcmp(info->name, e->name) != 0 ||
            strcmp(host_of(info), e->host) != 0)
            continue;
        e->index = i;
        return RNL_OK;
    }
    return status_fail(error, RNL_ERR_IO, "%s: the sound device is gone", e->name);
}

static rnl_status find_end(end *e, bool known, rnl_error *error) {
    if (!e->wanted) return RNL_OK;
    rnl_status status = RNL_OK;
    if (known) {
        status = again(e, error);
    } else if (e->asked == NULL) {
        e->index = e->is_output ? Pa_GetDefaultOutputDevice() : Pa_GetDefaultInputDevice();
        if (e->index == paNoDevice) return none_there(e->is_output, error);
    } else if (is_number(e->asked)) {
        e->index = atoi(e->asked);
        if (e->index >= Pa_GetDeviceCount())
            return status_fail(error, RNL_ERR_IO,
                               "there is no sound device %s; see `runnel devices`", e->asked);
    } else {
        status = by_name(e, error);
    }
    if (status != RNL_OK) return status;
    const PaDeviceInfo *info = Pa_GetDeviceInfo(e->index);
    if (channels_of(info, e->is_output) < 1)
        return status_fail(error, RNL_ERR_IO, "%s: this device has no %s; see `runnel devices`",
                           info->name, e->is_output ? "loudspeaker" : "microphone");
    copy_name(e->name, info->name);
    copy_name(e->host, host_of(info));
    return RNL_OK;
}

/* ---- Opening ---- */

static PaStreamParameters parameters(const end *e) {
    return (PaStreamParameters){.device = e->index,
                                .channelCount = e->channels,
                                .sampleFormat = paFloat32,
                                .suggestedLatency = e->latency};
}

/* Tries one rate on one end, or on both together; NULL: not this one. Channels: a microphone gives
 * one when it can, a loudspeaker takes two when it has them. */
static PaError try_rate(end *in, end *out, double rate) {
    PaError e = paInvalidChannelCount;
    for (int mics = 1; mics <= (in != NULL ? 2 : 1); mics++) {
        for (int speakers = 2; speakers >= (out != NULL ? 1 : 2); speakers--) {
            if (in != NULL) in->channels = mics;
            if (out != NULL) out->channels = speakers;
            if (in != NULL && mics > Pa_GetDeviceInfo(in->index)->maxInputChannels) continue;
            if (out != NULL && speakers > Pa_GetDeviceInfo(out->index)->maxOutputChannels) continue;
            const PaStreamParameters pi = in != NULL ? parameters(in) : (PaStreamParameters){0},
                                     po = out != NULL ? parameters(out) : (PaStreamParameters){0};
            e = Pa_IsFormatSupported(in != NULL ? &pi : NULL, out != NULL ? &po : NULL, rate);
            if (e == paFormatIsSupported) {
                if (in != NULL) in->rate = rate;
                if (out != NULL) out->rate = rate;
                return paNoError;
            }
        }
    }
    return e;
}

/* The rate asked for, or the device's own, or one that most devices know. */
static PaError pick_format(const card *c, end *in, end *out) {
    static const double rates[] = {48000, 44100, 32000, 24000, 16000, 8000};
    if (c->rate_asked > 0) return try_rate(in, out, c->rate_asked);
    const end *first = out != NULL ? out : in;
    const PaError e = try_rate(in, out, Pa_GetDeviceInfo(first->index)->defaultSampleRate);
    for (size_t i = 0; e != paNoError && i < sizeof rates / sizeof *rates; i++)
        if (try_rate(in, out, rates[i]) == paNoError) return paNoError;
    return e;
}

static rnl_status refuse(const card *c, const end *e, PaError why, rnl_error *error) {
    if (why == paInvalidSampleRate && c->rate_asked > 0)
        return status_fail(error, RNL_ERR_IO,
                           "%s: the device does not work at %d Hz; ask for another rate, or none",
                           e->name, c->rate_asked);
    if (why == paDeviceUnavailable)
        return status_fail(error, RNL_ERR_IO, "%s: the device is busy; another program holds it",
                           e->name);
    const char *detail = why == paUnanticipatedHostError ? Pa_GetLastHostErrorInfo()->errorText
                                                         : Pa_GetErrorText(why);
    return status_fail(error, RNL_ERR_IO, "%s: the device cannot be opened (%s)", e->name,
                       detail != NULL && *detail != '\0' ? detail : "no reason given");
}

/* One stream of one direction or of both. */
static PaError open_stream(card *c, end *in, end *out) {
    struct stream_end *e = &c->ends[c->stream_count];
    e->card = c;
    e->has_in = in != NULL;
    e->has_out = out != NULL;
    const PaError fits = pick_format(c, in, out);
    if (fits != paNoError) return fits;
    const PaStreamParameters pi = in != NULL ? parameters(in) : (PaStreamParameters){0},
                             po = out != NULL ? parameters(out) : (PaStreamParameters){0};
    const double rate = in != NULL ? in->rate : out->rate;
    const PaError opened = Pa_OpenStream(
        &c->streams[c->stream_count], in != NULL ? &pi : NULL, out != NULL ? &po : NULL, rate,
        (unsigned long)(rate / PERIODS_PER_SECOND), paClipOff | paDitherOff, callback, e);
    if (opened == paNoError) c->stream_count++;
    return opened;
}

static void close_streams(card *c) {
    const int kept = hush();
    for (int i = 0; i < c->stream_count; i++) {
        (void)Pa_AbortStream(c->streams[i]);
        (void)Pa_CloseStream(c->streams[i]);
    }
    c->stream_count = 0;
    speak(kept);
}

static void set_facts(card *c) {
    device_facts *f = &c->head.facts;
    const int rate_in = (int)(c->in.wanted ? c->in.rate : c->out.rate);
    *f = (device_facts){.rate_in = rate_in,
                        .rate_out = c->out.wanted ? (int)c->out.rate : rate_in,
                        .one_clock = c->stream_count == 1};
    copy_name(f->name_in, c->in.wanted ? c->in.name : "null");
    copy_name(f->name_out, c->out.wanted ? c->out.name : "null");
    for (int i = 0; i < c->stream_count; i++) {
        const PaStreamInfo *info = Pa_GetStreamInfo(c->streams[i]);
        if (c->ends[i].has_in) f->latency_in_us = (int64_t)(info->inputLatency * 1e6);
        if (c->ends[i].has_out) f->latency_out_us = (int64_t)(info->outputLatency * 1e6);
    }
}

/* One piece of hardware with one clock? ALSA's plugins (pulse, pipewire, default) are not: they
 * lead to any two devices behind a sound server, and PortAudio 19.6 stalls within seconds when it
 * opens both directions of one as one stream. */
static bool one_hardware(const end *in, const end *out) {
    if (in->index != out->index) return false;
    return strcmp(in->host, "ALSA") != 0 || contains(in->name, "hw:");
}

/* Finds both ends and opens one stream where one device serves both, else two. */
static rnl_status find_and_open(card *c, rnl_error *error) {
    rnl_status status = find_end(&c->in, c->known, error);
    if (status == RNL_OK) status = find_end(&c->out, c->known, error);
    if (status != RNL_OK) return status;
    c->known = true;
    end *in = c->in.wanted ? &c->in : NULL, *out = c->out.wanted ? &c->out : NULL;
    PaError e = paInvalidDevice;
    const int kept = hush();
    if (in == NULL || out == NULL || one_hardware(in, out)) e = open_stream(c, in, out);
    end *failed = out != NULL ? out : in;
    if (e != paNoError && in != NULL && out != NULL) {
        failed = in;
        e = open_stream(c, in, NULL);
        if (e == paNoError) {
            failed = out;
            e = open_stream(c, NULL, out);
        }
    }
    speak(kept);
    if (e != paNoError) {
        close_streams(c);
        return refuse(c, failed, e, error);
    }
    set_facts(c);
    return RNL_OK;
}

static rnl_status card_find(device *d, rnl_error *error) {
    card *c = (card *)d;
    close_streams(c);
    if (c->initialised) (void)Pa_Terminate();
    c->initialised = false;
    const PaError e = start_portaudio();
    if (e != paNoError)
        return status_fail(error, RNL_ERR_IO, "the sound system does not start: %s",
                           Pa_GetErrorText(e));
    c->initialised = true;
    if (Pa_GetDeviceCount() < 1) return none_there(!c->in.wanted, error);
    return find_and_open(c, error);
}

/* ---- The verbs ---- */

static rnl_status card_start(device *d, device_fn fn, void *context, rnl_error *error) {
    card *c = (card *)d;
    c->fn = fn;
    c->context = context;
    const int kept = hush();
    PaError e = paNoError;
    for (int i = 0; i < c->stream_count && e == paNoError; i++) e = Pa_StartStream(c->streams[i]);
    speak(kept);
    if (e == paNoError) return RNL_OK;
    close_streams(c);
    return refuse(c, c->in.wanted ? &c->in : &c->out, e, error);
}

static void card_stop(device *d) {
    close_streams((card *)d);
}

static int64_t card_now_us(const device *d) {
    (void)d;
    return clock_us();
}

static rnl_status card_wait(device *d, int64_t us, rnl_error *error) {
    (void)d;
    (void)error;
    const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    (void)nanosleep(&t, NULL);
    return RNL_OK;
}

static rnl_status card_charge(device *d, int64_t us, rnl_error *error) {
    (void)d;
    (void)us;
    (void)error;
    return RNL_OK;
}

static bool card_input_over(const device *d) {
    (void)d;
    return false;
}

static rnl_status card_finish(device **d, bool abort, rnl_error *error) {
    card *c = (card *)*d;
    (void)abort;
    (void)error;
    if (c == NULL) return RNL_OK;
    close_streams(c);
    if (c->initialised) (void)Pa_Terminate();
    free(c);
    *d = NULL;
    return RNL_OK;
}

static const device_verbs verbs = {.find = card_find,
                                   .start = card_start,
                                   .stop = card_stop,
                                   .now_us = card_now_us,
                                   .wait = card_wait,
                                   .charge = card_charge,
                                   .input_over = card_input_over,
                                   .finish = card_finish};

static void ask(end *e, bool is_output, const char *name, char *kept, double latency) {
    e->is_output = is_output;
    e->wanted = name == NULL || strcmp(name, "null") != 0;
    e->latency = latency;
    if (name == NULL || strcmp(name, "default") == 0) return;
    copy_name(kept, name);
    e->asked = kept;
}

rnl_status device_card_open(const device_config *config, device **out, rnl_error *error) {
    card *c = calloc(1, sizeof *c);
    *out = NULL;
    if (c == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    c->head.verbs = &verbs;
    c->rate_asked = config->rate;
    ask(&c->in, false, config->input, c->asked_in, config->latency_ms / 1000.0);
    ask(&c->out, true, config->output, c->asked_out, config->latency_ms / 1000.0);
    device *d = &c->head;
    const rnl_status status = card_find(d, error);
    if (status != RNL_OK)
        (void)card_finish(&d, true, NULL);
    else
        *out = d;
    return status;
}

rnl_status device_list(device_row **rows, size_t *count, rnl_error *error) {
    *rows = NULL;
    *count = 0;
    const PaError e = start_portaudio();
    if (e != paNoError)
        return status_fail(error, RNL_ERR_IO, "the sound system does not start: %s",
                           Pa_GetErrorText(e));
    const int n = Pa_GetDeviceCount();
    device_row *list = n > 0 ? calloc((size_t)n, sizeof *list) : NULL;
    for (int i = 0; i < n && list != NULL; i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        list[i] = (device_row){.index = i,
                               .in_channels = info->maxInputChannels,
                               .out_channels = info->maxOutputChannels,
                               .rate = info->defaultSampleRate,
                               .latency_in_ms = 1000.0 * info->defaultLowInputLatency,
                               .latency_out_ms = 1000.0 * info->defaultLowOutputLatency,
                               .default_in = i == Pa_GetDefaultInputDevice(),
                               .default_out = i == Pa_GetDefaultOutputDevice()};
        copy_name(list[i].name, info->name);
        copy_name(list[i].host, host_of(info));
    }
    (void)Pa_Terminate();
    if (n > 0 && list == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    *rows = list;
    *count = n > 0 ? (size_t)n : 0;
    return RNL_OK;
}
