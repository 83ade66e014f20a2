"""LFM2-VL-450M for make_random_checkpoint.py --vl: configurations, names and shapes of the tower
and the projector (spec family.md 2.1, 2.8) on the text model of LFM2-350M."""

TOWER, MLP, BLOCKS, HEADS = 768, 3072, 12, 12
PROJECTOR, TEXT, TEXT_FFN = 2560, 1024, 4608
ATTENTION = (2, 5, 8, 10, 12, 14)

# Names of the tokens around pictures; 396 itself is "<image>".
NAMED = {397 + 10 * row + col: f"img_row_{row + 1}_col_{col + 1}"
         for row in range(10) for col in range(10)}
NAMED |= {497: "img_thumbnail", 498: "image_start", 499: "image_end"}


def tower(norm, small):
    tensors = {}

    def add(name, *shape, what=None, bias=True):
        tensors[f"model.{name}.weight"] = ("BF16", shape, what)
        if bias:
            tensors[f"model.{name}.bias"] = ("BF16", shape[:1], small)

    at = "vision_tower.vision_model."
    add(at + "embeddings.patch_embedding", TOWER, 768)
    add(at + "embeddings.position_embedding", 256, TOWER, what=small, bias=False)
    for n in range(BLOCKS):
        layer = f"{at}encoder.layers.{n}."
        for name in ("layer_norm1", "layer_norm2"):
            add(layer + name, TOWER, what=norm)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            add(f"{layer}self_attn.{name}", TOWER, TOWER)
        add(layer + "mlp.fc1", MLP, TOWER)
        add(layer + "mlp.fc2", TOWER, MLP)
    add(at + "post_layernorm", TOWER, what=norm)
    add("multi_modal_projector.linear_1", PROJECTOR, 4 * TOWER)
    add("multi_modal_projector.linear_2", TEXT, PROJECTOR)
    return tensors


def config(text_config):
    return {"architectures": ["Lfm2VlForConditionalGeneration"], "model_type": "lfm2_vl",
            "image_token_id": 396, "downsample_factor": 2, "projector_hidden_act": "gelu",
            "projector_hidden_size": PROJECTOR, "projector_bias": True,
            "projector_use_layernorm": False, "tie_word_embeddings": True,
            "vision_feature_layer": -1, "text_config": text_config,
            "vision_config": {
                "model_type": "siglip2_vision_model", "hidden_size": TOWER,
                "intermediate_size": MLP, "num_hidden_layers": BLOCKS,
                "num_attention_heads": HEADS, "num_patches": 256, "patch_size": 16,
                "num_channels": 3, "layer_norm_eps": 1e-6, "vision_use_head": False,
                "hidden_act": "gelu_pytorch_tanh"}}


PREPROCESSOR = {
    "image_processor_type": "Lfm2VlImageProcessorFast", "processor_class": "Lfm2VlProcessor",
    "do_image_splitting": True, "do_normalize": True, "do_pad": True, "do_rescale": True,
    "do_resize": True, "downsample_factor": 2, "encoder_patch_size": 16,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "max_image_tokens": 256,
    "max_pixels_tolerance": 2.0, "max_tiles": 10, "min_image_tokens": 64, "min_tiles": 2,
    "resample": 2, "rescale_factor": 1 / 255, "return_row_col_info": True,
    "size": {"height": 512, "width": 512}, "tile_size": 512, "use_thumbnail": True}
