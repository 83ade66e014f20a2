#include "tests/devices/fake_portaudio.h"

#include <stdlib.h>
#include <string.h>

#include <portaudio.h>

enum { CARD_CAP = 16, STREAM_CAP = 4 };

typedef struct fake_stream {
    bool open, started;
    int in_channels, out_channels;
    double rate;
    unsigned long frames;
    PaStreamCallback *callback;
    void *context;
    PaStreamInfo info;
} fake_stream;

static struct {
    const fake_card *next; /* what the next start finds */
    int next_count;
    const fake_card *cards;
    int count, initialised;
    PaDeviceInfo infos[CARD_CAP];
    fake_stream streams[STREAM_CAP];
    double input_age, output_ahead;
    void (*before)(void), (*after)(void);
    float in[8 * FAKE_BLOCK_CAP], out[8 * FAKE_BLOCK_CAP];
    size_t out_frames;
    int out_channels;
} fake = {.input_age = 0.02, .output_ahead = 0.03};

static const PaHostApiInfo hosts[] = {{.name = "ALSA"}, {.name = "OSS"}};

void fake_cards(const fake_card *cards, int count) {
    fake.next = cards;
    fake.next_count = count;
}

void fake_times(double input_age, double output_ahead) {
    fake.input_age = input_age;
    fake.output_ahead = output_ahead;
}

void fake_hooks(void (*before)(void), void (*after)(void)) {
    fake.before = before;
    fake.after = after;
}

int fake_open_count(void) {
    int n = 0;
    for (int i = 0; i < STREAM_CAP; i++) n += fake.streams[i].open;
    return n;
}

int fake_initialised(void) {
    return fake.initialised;
}

const float *fake_output(size_t *frame_count, int *channel_count) {
    *frame_count = fake.out_frames;
    *channel_count = fake.out_channels;
    return fake.out;
}

int fake_run(float level) {
    int ran = 0;
    for (int i = 0; i < STREAM_CAP; i++) {
        fake_stream *s = &fake.streams[i];
        if (!s->open || !s->started) continue;
        for (size_t k = 0; k < s->frames * (size_t)s->in_channels; k++) fake.in[k] = level;
        if (s->out_channels > 0) memset(fake.out, 0x7F, sizeof fake.out); /* must be overwritten */
        const PaStreamCallbackTimeInfo times = {.currentTime = 1000.0,
                                                .inputBufferAdcTime = 1000.0 - fake.input_age,
                                                .outputBufferDacTime = 1000.0 + fake.output_ahead};
        if (fake.before != NULL) fake.before();
        (void)s->callback(s->in_channels > 0 ? fake.in : NULL,
                          s->out_channels > 0 ? fake.out : NULL, s->frames, &times, 0, s->context);
        if (fake.after != NULL) fake.after();
        if (s->out_channels > 0) {
            fake.out_frames = s->frames;
            fake.out_channels = s->out_channels;
        }
        ran++;
    }
    return ran;
}

/* ---- PortAudio's functions ---- */

PaError Pa_Initialize(void) {
    if (fake.initialised++ > 0) return paNoError;
    fake.cards = fake.next;
    fake.count = fake.next_count;
    for (int i = 0; i < fake.count; i++)
        fake.infos[i] = (PaDeviceInfo){.name = fake.cards[i].name,
                                       .hostApi = fake.cards[i].host,
                                       .maxInputChannels = fake.cards[i].in_channels,
                                       .maxOutputChannels = fake.cards[i].out_channels,
                                       .defaultLowInputLatency = 0.01,
                                       .defaultLowOutputLatency = 0.012,
                                       .defaultSampleRate = fake.cards[i].rate};
    return paNoError;
}

PaError Pa_Terminate(void) {
    if (--fake.initialised == 0) memset(fake.streams, 0, sizeof fake.streams);
    return paNoError;
}

PaDeviceIndex Pa_GetDeviceCount(void) {
    return fake.count;
}

const PaDeviceInfo *Pa_GetDeviceInfo(PaDeviceIndex i) {
    return i >= 0 && i < fake.count ? &fake.infos[i] : NULL;
}

const PaHostApiInfo *Pa_GetHostApiInfo(PaHostApiIndex i) {
    return &hosts[i];
}

PaDeviceIndex Pa_GetDefaultInputDevice(void) {
    for (int i = 0; i < fake.count; i++)
        if (fake.cards[i].in_channels > 0) return i;
    return paNoDevice;
}

PaDeviceIndex Pa_GetDefaultOutputDevice(void) {
    for (int i = 0; i < fake.count; i++)
        if (fake.cards[i].out_channels > 0) return i;
    return paNoDevice;
}

static PaError check_end(const PaStreamParameters *p, double rate, bool is_output) {
    if (p == NULL) return paNoError;
    const fake_card *c = &fake.cards[p->device];
    if (c->rate_only != 0 && rate != c->rate_only) return paInvalidSampleRate;
    if (c->channels_only != 0 && p->channelCount != c->channels_only) return paInvalidChannelCount;
    if (p->channelCount > (is_output ? c->out_channels : c->in_channels))
        return paInvalidChannelCount;
    return paNoError;
}

PaError Pa_IsFormatSupported(const PaStreamParameters *in, const PaStreamParameters *out,
                             double rate) {
    const PaError e = check_end(in, rate, false);
    return e != paNoError ? e : check_end(out, rate, true);
}

PaError Pa_OpenStream(PaStream **stream, const PaStreamParameters *in,
                      const PaStreamParameters *out, double rate, unsigned long frames,
                      PaStreamFlags flags, PaStreamCallback *callback, void *context) {
    (void)flags;
    const PaError e = Pa_IsFormatSupported(in, out, rate);
    if (e != paNoError) return e;
    if ((in != NULL && fake.cards[in->device].busy) ||
        (out != NULL && fake.cards[out->device].busy))
        return paDeviceUnavailable;
    if (in != NULL && out != NULL && fake.cards[in->device].one_way) return paInvalidDevice;
    for (int i = 0; i < STREAM_CAP; i++) {
        if (fake.streams[i].open) continue;
        fake.streams[i] = (fake_stream){.open = true,
                                        .in_channels = in != NULL ? in->channelCount : 0,
                                        .out_channels = out != NULL ? out->channelCount : 0,
                                        .rate = rate,
                                        .frames = frames,
                                        .callback = callback,
                                        .context = context,
                                        .info = {.inputLatency = 0.021, .outputLatency = 0.034}};
        *stream = &fake.streams[i];
        return paNoError;
    }
    return paInsufficientMemory;
}

PaError Pa_StartStream(PaStream *stream) {
    ((fake_stream *)stream)->started = true;
    return paNoError;
}

PaError Pa_AbortStream(PaStream *stream) {
    ((fake_stream *)stream)->started = false;
    return paNoError;
}

PaError Pa_CloseStream(PaStream *stream) {
    ((fake_stream *)stream)->open = false;
    return paNoError;
}

const PaStreamInfo *Pa_GetStreamInfo(PaStream *stream) {
    return &((fake_stream *)stream)->info;
}

const char *Pa_GetErrorText(PaError e) {
    return e == paInvalidSampleRate     ? "Invalid sample rate"
           : e == paInvalidChannelCount ? "Invalid number of channels"
                                        : "some error";
}

const PaHostErrorInfo *Pa_GetLastHostErrorInfo(void) {
    static const PaHostErrorInfo none = {.errorText = ""};
    return &none;
}
