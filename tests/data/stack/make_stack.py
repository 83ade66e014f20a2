#!/usr/bin/env python3
"""Makes all/: a small `runnel_stack` with every operator and everything shared, and its logits by
float64 numpy, straight from learn.md 6 and backbone.md 1. Needs numpy."""
import json
import os

import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "all")
D, HEADS, V, T, EPS, THETA = 32, 4, 96, 45, 1e-5, 1e4
H = D // HEADS
# type, taps, kv heads, window, kind, heads, state, feed-forward width, shared ffn, shared kv
LAYERS = [
    ("conv", 7, 0, 0, 0, 0, 0, 48, -1, -1),
    ("full_attention", 0, 2, 0, 0, 0, 0, 64, -1, -1),
    ("sliding_attention", 0, 1, 6, 0, 0, 0, 48, -1, -1),
    ("linear_attention", 0, 0, 0, "sum", 4, 0, 32, -1, -1),
    ("ssd", 0, 0, 0, 0, 2, 8, 48, 2, -1),
    ("full_attention", 0, 2, 0, 0, 0, 0, 64, 1, 1),
    ("linear_attention", 0, 0, 0, "decay", 2, 0, 32, 3, -1),
    ("conv", 3, 0, 0, 0, 0, 0, 40, -1, -1),
    ("full_attention", 0, 4, 0, 0, 0, 0, 48, -1, -1),
    ("full_attention", 0, 2, 0, 0, 0, 0, 48, -1, 1),
]


def config():
    def column(i, types=None):
        return [row[i] if types is None or row[0] in types else 0 for row in LAYERS]

    return {
        "model_type": "runnel_stack",
        "hidden_size": D,
        "num_hidden_layers": len(LAYERS),
        "num_attention_heads": HEADS,
        "norm_eps": EPS,
        "rope_theta": THETA,
        "vocab_size": V,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "layer_types": column(0),
        "conv_L_cache": column(1),
        "num_key_value_heads": column(2),
        "sliding_window": column(3),
        "linear_kind": column(4),
        "linear_heads": column(5, ("linear_attention",)),
        "ssm_state": column(6),
        "ssm_heads": column(5, ("ssd",)),
        "intermediate_size": column(7),
        "share_ffn": column(8),
        "share_kv": column(9),
    }


def weights(rng):
    w = {}

    def matrix(name, rows, cols):
        w[name + ".weight"] = rng.standard_normal((rows, cols)) / np.sqrt(cols)

    def gain(name, count):
        w[name] = 1 + 0.2 * rng.standard_normal(count)

    matrix("model.embed_tokens", V, D)
    gain("model.embedding_norm.weight", D)
    for i, (kind, taps, kv, _, _, heads, state, ff, share_ffn, share_kv) in enumerate(LAYERS):
        at = f"model.layers.{i}."
        gain(at + "operator_norm.weight", D)
        gain(at + "ffn_norm.weight", D)
        if share_ffn < 0:
            matrix(at + "feed_forward.w1", ff, D)
            matrix(at + "feed_forward.w3", ff, D)
            matrix(at + "feed_forward.w2", D, ff)
        if kind == "conv":
            matrix(at + "conv.in_proj", 3 * D, D)
            matrix(at + "conv.out_proj", D, D)
            w[at + "conv.conv.weight"] = rng.standard_normal((D, 1, taps)) / np.sqrt(taps)
        elif kind == "ssd":
            matrix(at + "ssm.in_proj", 2 * D + 2 * state + heads, D)
            matrix(at + "ssm.out_proj", D, D)
            w[at + "ssm.conv.weight"] = rng.standard_normal((D + 2 * state, 4)) / 2
            step = np.exp(rng.uniform(np.log(0.02), np.log(0.5), heads))
            w[at + "ssm.dt_bias"] = step + np.log(-np.expm1(-step))
            w[at + "ssm.A_log"] = np.log(np.linspace(1, 16, heads))
            gain(at + "ssm.D", heads)
            gain(at + "ssm.norm.weight", D)
        else:
            rows = kv * H if kv else D
            matrix(at + "self_attn.q_proj", D, D)
            if share_kv < 0:
                matrix(at + "self_attn.k_proj", rows, D)
                matrix(at + "self_attn.v_proj", rows, D)
            matrix(at + "self_attn.out_proj", D, D)
            if kind == "linear_attention":
                gain(at + "self_attn.norm.weight", D // heads)
            else:
                gain(at + "self_attn.q_layernorm.weight", H)
                if share_kv < 0:
                    gain(at + "self_attn.k_layernorm.weight", H)
    return {name: value.astype(np.float32) for name, value in w.items()}


def rms(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * gain


def silu(x):
    return x / (1 + np.exp(-x))


def taps_over(x, taps):
    y = np.zeros_like(x)
    k = taps.shape[1]
    for j in range(k):
        lag = k - 1 - j
        y[lag:] += taps[:, j] * x[: len(x) - lag]
    return y


def turn(x):
    angle = np.arange(len(x))[:, None] * THETA ** (-2.0 * np.arange(H // 2) / H)
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., : H // 2], x[..., H // 2 :]
    return np.concatenate([a * c - b * s, b * c + a * s], -1)


def scan(q, k, v, log):
    state, y = np.zeros((q.shape[1], v.shape[1])), np.zeros_like(v)
    for t in range(len(q)):
        state = np.exp(log[t]) * state + np.outer(k[t], v[t])
        y[t] = q[t] @ state
    return y


def attention(u, w, at, kv, window, keys):
    q = (u @ w[at + "q_proj.weight"].T).reshape(T, HEADS, H)
    q = turn(rms(q, w[at + "q_layernorm.weight"]))
    if keys is None:
        k = (u @ w[at + "k_proj.weight"].T).reshape(T, kv, H)
        keys = turn(rms(k, w[at + "k_layernorm.weight"])), (u @ w[at + "v_proj.weight"].T).reshape(
            T, kv, H
        )
    far = np.arange(T)[:, None] - np.arange(T)
    seen = (far >= 0) & ((far < window) | (window == 0))
    out = np.zeros((T, HEADS, H))
    for head in range(HEADS):
        g = head // (HEADS // kv)
        score = np.where(seen, q[:, head] @ keys[0][:, g].T / np.sqrt(H), -np.inf)
        p = np.exp(score - score.max(1, keepdims=True))
        out[:, head] = p / p.sum(1, keepdims=True) @ keys[1][:, g]
    return out.reshape(T, D) @ w[at + "out_proj.weight"].T, keys


def linear_attention(u, w, at, kind, heads):
    h = D // heads
    q, k, v = [(u @ w[at + n + "_proj.weight"].T).reshape(T, heads, h) for n in "qkv"]
    y = np.zeros((T, heads, h))
    for head in range(heads):
        if kind == "sum":
            f = [np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (q[:, head], k[:, head])]
            ones = np.concatenate([v[:, head], np.ones((T, 1))], 1)
            all_sums = scan(f[0], f[1], ones, np.zeros(T))
            y[:, head] = all_sums[:, :-1] / (all_sums[:, -1:] + 1e-6)
        else:
            log = np.log(1 - 2.0 ** -(3 + 4 * head / max(1, heads - 1)))
            y[:, head] = scan(q[:, head] / np.sqrt(h), k[:, head], v[:, head], np.full(T, log))
    return rms(y, w[at + "norm.weight"]).reshape(T, D) @ w[at + "out_proj.weight"].T


def state_space(u, w, at, state, heads):
    z, r, delta = np.split(u @ w[at + "in_proj.weight"].T, [D, 2 * D + 2 * state], -1)
    x, b, c = np.split(silu(taps_over(r, w[at + "conv.weight"])), [D, D + state], -1)
    step = np.logaddexp(0, delta + w[at + "dt_bias"])
    x = x.reshape(T, heads, -1)
    y = np.zeros_like(x)
    for head in range(heads):
        log = -step[:, head] * np.exp(w[at + "A_log"][head])
        y[:, head] = scan(c, step[:, head : head + 1] * b, x[:, head], log)
        y[:, head] += w[at + "D"][head] * x[:, head]
    return rms(y.reshape(T, D) * silu(z), w[at + "norm.weight"]) @ w[at + "out_proj.weight"].T


def logits(w, ids):
    w = {name: value.astype(np.float64) for name, value in w.items()}
    x, kept = w["model.embed_tokens.weight"][ids], {}
    for i, (kind, _, kv, window, how, heads, state, _, share_ffn, share_kv) in enumerate(LAYERS):
        at = f"model.layers.{i}."
        u = rms(x, w[at + "operator_norm.weight"])
        if kind == "conv":
            b, c, v = np.split(u @ w[at + "conv.in_proj.weight"].T, 3, -1)
            y = (c * taps_over(b * v, w[at + "conv.conv.weight"][:, 0])) @ w[
                at + "conv.out_proj.weight"
            ].T
        elif kind == "linear_attention":
            y = linear_attention(u, w, at + "self_attn.", how, heads)
        elif kind == "ssd":
            y = state_space(u, w, at + "ssm.", state, heads)
        else:
            y, kept[i] = attention(u, w, at + "self_attn.", kv, window, kept.get(share_kv))
        x = x + y
        u = rms(x, w[at + "ffn_norm.weight"])
        own = f"model.layers.{i if share_ffn < 0 else share_ffn}.feed_forward."
        x = x + (silu(u @ w[own + "w1.weight"].T) * (u @ w[own + "w3.weight"].T)) @ w[
            own + "w2.weight"
        ].T
    return rms(x, w["model.embedding_norm.weight"]) @ w["model.embed_tokens.weight"].T


def save(w, path):
    """Safetensors: the size of a header, the header, the numbers."""
    header, at = {}, 0
    for name, value in w.items():
        header[name] = {"dtype": "F32", "shape": value.shape}
        header[name]["data_offsets"] = [at, at + value.nbytes]
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for value in w.values():
            f.write(value.astype("<f4").tobytes())


def main():
    os.makedirs(HERE, exist_ok=True)
    rng = np.random.default_rng(24)
    w = weights(rng)
    ids = rng.integers(0, V, T).astype(np.int32)
    with open(os.path.join(HERE, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config(), f, indent=1)
        f.write("\n")
    save(w, os.path.join(HERE, "model.safetensors"))
    np.save(os.path.join(HERE, "ids.npy"), ids)
    np.save(os.path.join(HERE, "logits.npy"), logits(w, ids).astype(np.float32))


if __name__ == "__main__":
    main()
