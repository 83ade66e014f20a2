#include "devices/devices.h"

#include <stddef.h>

#ifdef RUNNEL_DEVICES
#include "devices/onnx.h"
#include "devices/opencl.h"

static const device_kind opencl = {.ops = &opencl_ops};
const device_kind *const devices_all[] = {&opencl, &onnx_kind, NULL};
const bool devices_built = true;
#else
const device_kind *const devices_all[] = {NULL};
const bool devices_built = false;
#endif
