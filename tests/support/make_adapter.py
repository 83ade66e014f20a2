#!/usr/bin/env python3
"""An adapter of random values for the model of tests/data/tiny: make_adapter.py CONFIG.json FOLDER
[SEED]. A PEFT folder of rank 2, large enough to change what the model says."""
import json
import os
import random
import struct
import sys

config = json.load(open(sys.argv[1]))["lfm"]
folder, width = sys.argv[2], config["hidden_size"]
random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 3)
os.mkdir(folder)
json.dump({"peft_type": "LORA", "r": 2, "lora_alpha": 8, "target_modules": ["out_proj"]},
          open(f"{folder}/adapter_config.json", "w"))
head, data = {}, b""
for i, kind in enumerate(config["layer_types"]):
    module = f"base_model.model.lfm.layers.{i}." + \
        ("self_attn.out_proj" if kind == "full_attention" else "conv.out_proj")
    for half, shape in (("A", [2, width]), ("B", [width, 2])):
        values = [random.uniform(-.2, .2) for _ in range(2 * width)]
        raw = struct.pack(f"<{2 * width}f", *values)
        head[f"{module}.lora_{half}.weight"] = {
            "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
text = json.dumps(head).encode()
open(f"{folder}/adapter_model.safetensors", "wb").write(
    struct.pack("<Q", len(text)) + text + data)
