/* The devices of this build, by kind: rows of stack/device.h. A device has a file or some of its
 * own in this folder and a line in devices.c; nothing above this folder knows one by name.
 *
 *     opencl*.c  GPUs by OpenCL 1.2     libOpenCL, opened when it is wanted
 *     onnx*.c    NPUs by ONNX Runtime   libonnxruntime, likewise */
#ifndef DEVICES_DEVICES_H
#define DEVICES_DEVICES_H

#include "devices/encoder_device.h"

typedef struct device_kind {
    const stack_device_ops *ops;
    const encoder_device_ops *encoder; /* NULL: encoders stay on the CPU */
} device_kind;

/* In the order in which "auto" asks them, NULL behind the last; none in a build without devices
 * (RUNNEL_DEVICES=OFF). The CPU is not among them. */
extern const device_kind *const devices_all[];
extern const bool devices_built;

#endif
