#include "devices/devices.h"

#include <stddef.h>

#ifdef RUNNEL_DEVICES
const bool devices_built = true;
#else
const bool devices_built = false;
#endif

const device_kind *const devices_all[] = {NULL};
