#!/usr/bin/env bash
# GPUs without one: device_gpu.sh SOURCE BUILD. What a model takes on PoCL beside what it takes on
# the CPU and what the driver takes by itself; and the kernels under Oclgrind, which interprets them
# and watches every access: bits as on any device, no access beside a buffer, no race between
# work-items.
set -uo pipefail
source=$(realpath "$1") build=$(realpath "$2")
library=/usr/lib/oclgrind/liboclgrind-rt.so
alone=$build/tests/devices/opencl_alone
[ -x "$alone" ] || { echo "skipped: built without RUNNEL_DEVICES"; exit 77; }
[ -e "$library" ] || { echo "skipped: oclgrind is not installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# --- Memory: the CPU's, 5 % more, the driver's own, and what the device says that it takes
model=${RUNNEL_DEVICE_MODEL:-$source/samples/minnow/minnow.gguf}
export POCL_CACHE_DIR=$work/pocl
mkdir "$POCL_CACHE_DIR"
for time in compiling kept; do # what was compiled is there the second time
    driver=$("$alone") || { echo "skipped: no OpenCL device"; exit 77; }
    "$build/runnel" bench -m "$model" --json --device gpu --work prefill,decode --tokens 8 \
        --depth 0 --repeat 1 > "$work/rows" || exit 1
    python3 - "$work/rows" "$driver" "$time" << 'PY' || failed=1
import json
import sys
rows = [json.loads(line) for line in open(sys.argv[1])]
cpu = max(r["memory"] for r in rows if r.get("device") == "cpu")
gpu = max(r["memory"] for r in rows if r.get("device", "").startswith("gpu"))
own = max(r["device_memory"] for r in rows if "device_memory" in r)
driver = 1024 * int(sys.argv[2])
print(f"memory, {sys.argv[3]}: CPU {cpu / 1e6:.1f} MB, GPU {gpu / 1e6:.1f}: driver alone "
      f"{driver / 1e6:.1f}, stated {own / 1e6:.1f}, left {(gpu - cpu - own - driver) / 1e6:.1f}")
sys.exit(sys.argv[3] == "kept" and gpu > 1.05 * cpu + own + driver)
PY
done
unset POCL_CACHE_DIR

# --- Kernels
export RUNNEL_TEST_OPENCL=$library RUNNEL_TEST_SHORT=1
export OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 # it tells what it finds on stderr
for name in test_opencl_product test_opencl_stack; do
    "$build/tests/$name" > "$work/out" 2> "$work/err" || failed=1
    cat "$work/out"
    grep -q "^$name: gpu: ran [1-9]" "$work/out" ||
        { echo "FAILED: $name: tests were left out"; failed=1; }
    ! grep -Eq 'Oclgrind|Invalid|[Rr]ace' "$work/err" ||
        { echo "FAILED: $name:"; head -n 40 "$work/err"; failed=1; }
done
exit "$failed"
