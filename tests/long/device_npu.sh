#!/usr/bin/env bash
# NPUs that are simulated: device_npu.sh SOURCE BUILD. Qualcomm's simulation of Hexagon, which is
# part of its provider for ONNX Runtime (99 MB of PyPI, kept in BUILD); says nothing of speed.
set -uo pipefail
source=$(realpath "$1") build=$(realpath "$2")
. "$source/tests/support/onnxruntime.sh"
check=$build/tests/devices/onnx_check
[ -x "$check" ] || { echo "skipped: built without RUNNEL_DEVICES"; exit 77; }
onnxruntime_files "$build" onnxruntime || exit 77
library=$(echo "$files"/onnxruntime/capi/libonnxruntime.so.*)
onnxruntime_files "$build" onnxruntime_qnn || exit 77
out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$check" "$library" QNNExecutionProvider \
    "$files/onnxruntime_qnn/libonnxruntime_providers_qnn.so" soc_model=57 > "$out" 2>&1
code=$?
cat "$out"
# A device that was not there cannot have passed.
if ! grep -q "^13 device tests ran$" "$out"; then
    echo "FAILED: not all tests of the device ran"
    exit 1
fi
exit "$code"
