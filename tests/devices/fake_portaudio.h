/* PortAudio without sound cards: its functions, defined in the test program itself, over a table of
 * devices that the test can change. The test makes the callbacks come. */
#ifndef TESTS_DEVICES_FAKE_PORTAUDIO_H
#define TESTS_DEVICES_FAKE_PORTAUDIO_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fake_card {
    const char *name;
    int host; /* 0: ALSA, 1: OSS */
    int in_channels, out_channels;
    double rate;       /* its own */
    int rate_only;     /* Hz, the only rate it works at; 0: any */
    int channels_only; /* the only number of channels; 0: any up to the most */
    bool busy;         /* opening says so */
    bool one_way;      /* refuses a stream of both directions */
} fake_card;

enum { FAKE_BLOCK_CAP = 4096 };

/* The devices that the next Pa_Initialize finds; defaults are the first fitting ones. Borrowed. */
void fake_cards(const fake_card *cards, int count);
/* Makes every started stream call back once with its own number of frames. Microphone samples are
 * level in every channel. Returns the streams that did. */
int fake_run(float level);
/* What the last callback with an output gave: frames * channels samples, and their number. */
const float *fake_output(size_t *frame_count, int *channel_count);
/* What a callback is told of its times: seconds from now back to the input, on to the output. */
void fake_times(double input_age, double output_ahead);
/* Streams open now, and Pa_Initialize calls less Pa_Terminate calls. */
int fake_open_count(void);
int fake_initialised(void);
/* Called right before and right after each callback; NULL: not. */
void fake_hooks(void (*before)(void), void (*after)(void));

#endif
