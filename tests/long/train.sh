#!/usr/bin/env bash
# Speed and memory of training beside the machine's peak and, with RUNNEL_TORCH_PYTHON (has torch,
# transformers, peft, numpy), beside PyTorch: train.sh SOURCE BUILD. Wants the machine to itself;
# takes 1 GB under RUNNEL_LONG_FOLDER (/tmp).
set -uo pipefail
source=$1 build=$2
. "$source/tests/support/campaign.sh"
campaign train

compare=(python3 "$source/tools/compare_torch.py" --runnel "$build/runnel" --folder "$work")
if [ -n "${RUNNEL_TORCH_PYTHON:-}" ]; then
    compare+=(--python "$RUNNEL_TORCH_PYTHON")
elif ! python3 -c "import numpy" 2> /dev/null; then
    echo "skipped: without numpy (or RUNNEL_TORCH_PYTHON) there is no model to train"
    exit 77
fi
check "float32" "${compare[@]}"
"$build/runnel" bench --work peak --json | grep -q '"type":"BF16"' &&
    check "BF16" "${compare[@]}" --bf16
campaign_summary
