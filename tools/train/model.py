"""Minnow's shape, in Liquid's own classes, and its losses.

A position of a sequence is TEXT (a token), AIN (80 ms of heard sound) or AOUT (a frame of codes).
"""

import json
import types

import torch
import torch.nn.functional as F
from torch import nn

from common import CODEBOOKS, EOA

TEXT, AIN, AOUT = 1, 2, 3  # liquid-audio's numbers


def config(vocab):
    return {
        "architectures": ["Lfm2AudioForConditionalGeneration"],
        "codebooks": CODEBOOKS,
        "tie_audio_embeddings": True,
        "semantic_codebook_factor": 10,
        "codebook_weight": "log",
        "interleaved_n_text": 6,
        "interleaved_n_audio": 12,
        "preprocessor": {
            "sample_rate": 16000,
            "normalize": "per_feature",
            "window_size": 0.025,
            "window_stride": 0.01,
            "window": "hann",
            "features": 128,
            "n_fft": 512,
            "log": True,
            "frame_splicing": 1,
            "dither": 1e-5,
            "pad_to": 0,
            "pad_value": 0.0,
        },
        "encoder": {
            "feat_in": 128,
            "feat_out": -1,
            "n_layers": 5,
            "d_model": 160,
            "subsampling": "dw_striding",
            "subsampling_factor": 8,
            "subsampling_conv_channels": 32,
            "causal_downsampling": False,
            "reduction": None,
            "reduction_position": None,
            "reduction_factor": 1,
            "ff_expansion_factor": 4,
            "self_attention_model": "rel_pos",
            "n_heads": 4,
            "att_context_size": [-1, -1],
            "xscaling": False,
            "untie_biases": True,
            "pos_emb_max_len": 5000,
            "conv_kernel_size": 9,
            "conv_norm_type": "batch_norm",
            "conv_context_size": None,
            "dropout": 0.0,
            "dropout_pre_encoder": 0.0,
            "dropout_emb": 0.0,
            "dropout_att": 0.0,
        },
        "lfm": {
            # What llama.cpp's converter needs to know the text model by.
            "architectures": ["Lfm2ForCausalLM"],
            "model_type": "lfm2",
            "hidden_size": 256,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 768,
            "block_ff_dim": 768,
            "block_auto_adjust_ff_dim": False,
            "block_ffn_dim_multiplier": 1.0,
            "block_multiple_of": 256,
            "conv_L_cache": 3,
            "conv_bias": False,
            "norm_eps": 1e-5,
            "rope_theta": 1e6,
            "vocab_size": vocab,
            "max_position_embeddings": 4096,
            "tie_embedding": True,
            "bos_token_id": 1,
            "eos_token_id": 7,
            "pad_token_id": 0,
            "layer_types": [
                "conv",
                "conv",
                "full_attention",
                "conv",
                "full_attention",
                "conv",
                "full_attention",
                "conv",
            ],
        },
        "depthformer": {"layers": 2, "dim": 256, "tie": True},
    }


def build(conf):
    from transformers import Lfm2Config
    from liquid_audio.model.lfm2_audio import LFM2AudioModel, LFM2AudioConfig, DepthformerConfig
    from liquid_audio.model.conformer.encoder import ConformerEncoderConfig

    c = json.loads(json.dumps(conf))
    m = LFM2AudioModel(
        LFM2AudioConfig(
            lfm=Lfm2Config(**c.pop("lfm")),
            encoder=ConformerEncoderConfig(**c.pop("encoder")),
            depthformer=DepthformerConfig(**c.pop("depthformer")),
            **c,
        )
    )
    m.lfm.set_attn_implementation("sdpa")
    return m


def quicken(m):
    """The same arithmetic, faster on a CPU: subsampling in float32 with channels last, depthwise
    convolutions as sums of shifted inputs, 1x1 convolutions as matrix products."""
    pe = m.conformer.pre_encode
    c0, c2, c3, c5, c6 = (pe.conv[i] for i in (0, 2, 3, 5, 6))
    for c in (c0, c2, c3, c5, c6):
        c.to(memory_format=torch.channels_last)

    def pre(self, x, lengths):
        with torch.autocast("cpu", enabled=False):

            def cut(y, n):
                return y * (torch.arange(y.shape[2])[None] < n[:, None])[:, None, :, None]

            n = lengths
            x = cut(x.float()[:, None], n).to(memory_format=torch.channels_last)
            n = (n + 1) // 2
            x = cut(F.relu(c0(x)), n)
            n = (n + 1) // 2
            x = cut(F.relu(c3(c2(x))), n)
            n = (n + 1) // 2
            x = F.relu(c6(c5(x)))
            b, c, t, f = x.shape
            x = x.transpose(1, 2).reshape(b, t, c * f)
        return self.out(x), n

    pe.forward = types.MethodType(pre, pe)

    def one(self, x):
        return F.linear(x.transpose(1, 2), self.weight[:, :, 0], self.bias).transpose(1, 2)

    def depth(causal):
        def go(self, x, **kw):
            k = self.kernel_size[0]
            l = k - 1 if causal else (k - 1) // 2
            T = x.shape[2]
            xp = F.pad(x, (l, k - 1 - l))
            w = self.weight[:, 0].to(x.dtype)
            y = sum(xp[:, :, i : i + T] * w[:, i, None] for i in range(k))
            return y if self.bias is None else y + self.bias.to(x.dtype)[:, None]

        return go

    for l in m.conformer.layers:
        for c in (l.conv.pointwise_conv1, l.conv.pointwise_conv2):
            c.forward = types.MethodType(one, c)
        l.conv.depthwise_conv.forward = types.MethodType(depth(False), l.conv.depthwise_conv)
    for l in m.lfm.layers:
        if hasattr(l, "conv"):
            l.conv.conv.forward = types.MethodType(depth(True), l.conv.conv)


def mel_maker(conf):
    from liquid_audio.model.conformer.processor import AudioToMelSpectrogramPreprocessor

    return AudioToMelSpectrogramPreprocessor(**conf["preprocessor"]).eval()


class Trainer(nn.Module):
    """The model with a CTC head beside its encoder, which training alone uses."""

    def __init__(self, conf):
        super().__init__()
        self.m = build(conf)
        self.ctc = nn.Linear(conf["encoder"]["d_model"], conf["lfm"]["vocab_size"])
        self.hearing = True  # whether the encoder learns too

    def encode(self, mels):
        lens = torch.tensor([x.shape[1] for x in mels])
        pad = nn.utils.rnn.pad_sequence([x.T for x in mels], batch_first=True)
        enc, n = self.m.conformer(pad.mT, lens)
        return enc.mT, n

    def ctc_loss(self, enc, n, words):
        lp = self.ctc(enc).float().log_softmax(-1).transpose(0, 1)
        y = torch.tensor([t for w in words for t in w])
        yl = torch.tensor([len(w) for w in words])
        return F.ctc_loss(lp, y, n, yl, blank=0, zero_infinity=True)

    def forward(self, b, share=1.0):
        m, kind, sup = self.m, b["kind"], b["sup"]
        B, L = kind.shape
        emb = torch.zeros(B, L, m.lfm.config.hidden_size)
        emb[kind == TEXT] = m.lfm.embed_tokens(b["text"]).float()
        ctc = torch.zeros(())
        if b["mels"]:
            with torch.set_grad_enabled(self.hearing and torch.is_grad_enabled()):
                enc, n = self.encode(b["mels"])
                ctc = self.ctc_loss(enc, n, b["words"])
            mask = torch.arange(enc.shape[1])[None] < n[:, None]
            emb[kind == AIN] = m.audio_adapter(enc[mask]).float()
        if len(b["aout"]):
            emb[kind == AOUT] = m.audio_embedding(b["aout"] + m.codebook_offsets).sum(1).float()
        h = m.lfm(inputs_embeds=emb, use_cache=False).last_hidden_state
        hs = h[:, :-1]
        tm = ((kind == TEXT) & sup)[:, 1:]
        logit = F.linear(hs[tm], m.lfm.embed_tokens.weight).float()
        tl = b["text"][(sup[kind == TEXT])]
        text_loss = F.cross_entropy(logit, tl)
        audio_loss = torch.zeros(())
        acc = torch.zeros(8)
        if len(b["aout"]):
            am = ((kind == AOUT) & sup)[:, 1:]
            ha, y = hs[am], b["aout"]
            if share < 1:
                keep = torch.rand(len(ha)) < share
                keep |= y[:, 0] == EOA
                ha, y = ha[keep], y[keep]
            x = m.depth_linear(ha).view(len(ha), CODEBOOKS, -1)
            prev = torch.stack([m.depth_embeddings[k](y[:, k]) for k in range(CODEBOOKS - 1)], 1)
            x = torch.cat([x[:, :1], x[:, 1:] + prev], 1)
            z = m.depthformer(x)
            W = m.audio_loss_weights / m.audio_loss_weights.sum()
            for k in range(CODEBOOKS):
                lg = m.depth_embeddings[k].get_logits(z[:, k]).float()
                audio_loss = audio_loss + W[k] * F.cross_entropy(lg, y[:, k])
                acc[k] = (lg.argmax(-1) == y[:, k]).float().mean()
        tacc = (logit.argmax(-1) == tl).float().mean()
        return text_loss, audio_loss, ctc, tacc, acc
