/* Inside audio/: notes of what is missing in a sound. */
#ifndef AUDIO_FAULTS_H
#define AUDIO_FAULTS_H

#include "audio/file.h"

/* Adds a place, in s; one that is close behind the last widens it. */
void faults_add(sound_faults *f, double from, double to, bool cut_off);
/* What the decoder said, without the name of the file in front. */
void faults_set_reason(sound_faults *f, const char *name, const char *text);

#endif
