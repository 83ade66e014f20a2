/* A sound device that the test drives, period by period, under a duplex. */
#ifndef TESTS_SUPPORT_DRIVER_H
#define TESTS_SUPPORT_DRIVER_H

#include "audio/duplex.h"

enum { PERIOD_US = 10000, OUT_CAP = 192000 * 4 };

typedef struct driver {
    device head;
    device_fn fn;
    void *context;
    int64_t now_us;
    int64_t periods;
    float in[2048], out[2048];
    float *said; /* [OUT_CAP] everything the loudspeaker was given */
    size_t said_count;
    bool fails; /* waiting does */
} driver;

/* A duplex on such a device, which it owns. */
driver *open_driver(int rate_in, int rate_out, bool one_clock, duplex **d);
/* One period of both: a tone of hz at the microphone (0: level). */
void period(driver *v, double hz, double level);
void close_it(duplex *d);

#endif
