#!/usr/bin/env bash
# The kernels of GPUs under Oclgrind, which interprets them and watches every access: device_gpu.sh
# SOURCE BUILD. Bits as on any device, no access beside a buffer, no race between work-items.
set -uo pipefail
build=$(realpath "$2")
library=/usr/lib/oclgrind/liboclgrind-rt.so
[ -e "$library" ] || { echo "skipped: oclgrind is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RUNNEL_TEST_OPENCL=$library RUNNEL_TEST_SHORT=1
export OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 # it tells what it finds on stderr

failed=0
for name in test_opencl_product test_opencl_stack; do
    "$build/tests/$name" > "$work/out" 2> "$work/err" || failed=1
    cat "$work/out"
    grep -q "^$name: gpu: ran [1-9]" "$work/out" ||
        { echo "FAILED: $name: tests were left out"; failed=1; }
    ! grep -Eq 'Oclgrind|Invalid|[Rr]ace' "$work/err" ||
        { echo "FAILED: $name:"; head -n 40 "$work/err"; failed=1; }
done
exit "$failed"
