/* Two clocks that run almost alike: microphone and loudspeaker on two devices. Pure arithmetic on
 * what the callbacks' stamps say; no device, no time of its own.
 *
 * offset(t) = how many seconds of sound the loudspeaker's stream is ahead of the microphone's at
 * moment t. A straight line through the offsets of the last two minutes gives the drift (its slope)
 * and, free of the callbacks' jitter, the offset now. */
#ifndef AUDIO_DRIFT_H
#define AUDIO_DRIFT_H

#include <stdbool.h>

enum { DRIFT_POINT_CAP = 128, DRIFT_PPM_MAX = 500 };

typedef struct drift {
    double time[DRIFT_POINT_CAP], offset[DRIFT_POINT_CAP]; /* seconds; a ring */
    int count;                                             /* ever added since reset */
    int odd_count;       /* points in a row that were far from the line */
    double slope, level; /* of the line at origin */
    double origin;       /* seconds: the middle of the points */
} drift;

void drift_reset(drift *d);
/* A new pair, times never going back, about one a second. True: the streams have jumped against
 * each other (three points in a row off by more than 30 ms); the line starts anew. */
bool drift_add(drift *d, double time, double offset);
/* The line at a moment, and its slope in millionths. 0 before the first point. The slope counts
 * only from 20 s on: before, jitter of some milliseconds would look like a drift. */
double drift_offset(const drift *d, double time);
double drift_ppm(const drift *d);
/* By how many ppm the resampled loudspeaker signal must be stretched now: against the drift, and
 * against the error (seconds by which it is later than it should be) within some ten seconds;
 * within DRIFT_PPM_MAX. */
double drift_steer(const drift *d, double error);

#endif
