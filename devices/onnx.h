/* NPUs by ONNX Runtime 1.22 or later: whatever execution provider it has, or is given, that takes
 * whole graphs (Qualcomm's QNN, OpenVINO, ...). Files of the folder:
 *
 *     onnx_write, onnx_ops, onnx_matrix   ONNX files, operators, matrices
 *     onnx_stack, onnx_feed               a stack as a graph; its inputs and outputs
 *     onnx_encoder                        the encoder as a graph
 *     onnx_set, onnx_place                graphs of several sizes; on the disk
 *     onnx_runtime, onnx_runner           the library; a graph that is ready to run
 *     onnx_kept                           what was compiled of a graph, on the disk
 *     onnx_device, onnx_encoder_device    the rows */
#ifndef DEVICES_ONNX_H
#define DEVICES_ONNX_H

#include "devices/devices.h"

extern const device_kind onnx_kind; /* of these two */
extern const stack_device_ops onnx_device_ops;
extern const encoder_device_ops onnx_encoder_ops;

#endif
