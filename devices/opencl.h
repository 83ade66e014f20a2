/* GPUs by OpenCL 1.2: a row of the table of devices (stack/device.h). */
#ifndef DEVICES_OPENCL_H
#define DEVICES_OPENCL_H

#include "stack/device.h"

/* list and open take libOpenCL from rnl_device_config.opencl_path. bound is 0 for packed matrices:
 * products have the CPU's bits. load refuses what is no dense stack of LFM2 (opencl_load.c). */
extern const stack_device_ops opencl_ops;

#endif
