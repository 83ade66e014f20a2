/* The monotonic clock of the machine, for measuring; what is measured changes no result. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stdint.h>

int64_t clock_us(void); /* microseconds */
double clock_seconds(void);

#endif
