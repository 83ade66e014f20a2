#include "audio/drift.h"

#include <math.h>

static const double jump = 0.030;       /* seconds */
static const double slope_after = 20.0; /* seconds */
static const double correct_in = 10.0;  /* seconds */

void drift_reset(drift *d) {
    *d = (drift){0};
}

static int point_count(const drift *d) {
    return d->count < DRIFT_POINT_CAP ? d->count : DRIFT_POINT_CAP;
}

static void put(drift *d, double time, double offset) {
    d->time[d->count % DRIFT_POINT_CAP] = time;
    d->offset[d->count % DRIFT_POINT_CAP] = offset;
    d->count++;
}

static void draw_line(drift *d) {
    const int n = point_count(d);
    double t = 0.0, o = 0.0, tt = 0.0, to = 0.0, first = d->time[0], last = d->time[0];
    for (int i = 0; i < n; i++) {
        t += d->time[i] / n;
        o += d->offset[i] / n;
        first = fmin(first, d->time[i]);
        last = fmax(last, d->time[i]);
    }
    for (int i = 0; i < n; i++) {
        tt += (d->time[i] - t) * (d->time[i] - t);
        to += (d->time[i] - t) * (d->offset[i] - o);
    }
    d->origin = t;
    d->level = o;
    d->slope = last - first >= slope_after ? to / tt : 0.0;
}

bool drift_add(drift *d, double time, double offset) {
    if (d->count > 0 && fabs(offset - drift_offset(d, time)) > jump) {
        if (++d->odd_count < 3) return false; /* one late callback is no jump */
        drift_reset(d);
        put(d, time, offset);
        draw_line(d);
        return true;
    }
    d->odd_count = 0;
    put(d, time, offset);
    draw_line(d);
    return false;
}

double drift_offset(const drift *d, double time) {
    return d->level + d->slope * (time - d->origin);
}

double drift_ppm(const drift *d) {
    return d->slope * 1e6;
}

double drift_steer(const drift *d, double error) {
    const double ppm = -d->slope * 1e6 - error / correct_in * 1e6;
    return fmax(-DRIFT_PPM_MAX, fmin(DRIFT_PPM_MAX, ppm));
}
