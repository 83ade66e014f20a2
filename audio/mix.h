/* Channels to one: their mean, in blocks of 1 s from the first frame on. Where the channels of a
 * block take each other out (a cable with one side turned round), the loudest is taken alone. */
#ifndef AUDIO_MIX_H
#define AUDIO_MIX_H

#include <runnel/runnel.h>

typedef struct mixer mixer;

mixer *mixer_create(int rate, int channels); /* NULL: no memory */
void mixer_destroy(mixer **m);
/* Room for *cap frames [*cap, channels]; 0: the block is full. */
float *mixer_room(mixer *m, size_t *cap);
void mixer_put(mixer *m, size_t count); /* so many were put there */
/* The block is whole, or the sound ends: makes one channel of it. True: its channels were out of
 * phase. */
bool mixer_mix(mixer *m);
/* Up to cap samples of the mixed block; 0: none is left, and there is room for the next. */
size_t mixer_take(mixer *m, float *samples, size_t cap);

#endif
