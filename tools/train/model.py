"""Minnow's shape, in Liquid's own classes, and its losses.

A position of a sequence is TEXT (a token), AIN (80 ms of heard sound) or AOUT (a frame of codes).
"""

import json
import types

import torch
import torch.nn.functional as F
from torch import nn

from common import CODEBOOKS, CODES, EOA, USED

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
    """The same arithmetic, faster on a CPU: subsampling with channels last, depthwise convolutions
    as sums of shifted inputs, 1x1 convolutions as matrix products."""
    pe = m.conformer.pre_encode
    c0, c2, c3, c5, c6 = (pe.conv[i] for i in (0, 2, 3, 5, 6))
    for c in (c0, c2, c3, c5, c6):
        c.to(memory_format=torch.channels_last)

    def pre(self, x, lengths):
        def cut(y, n):
            return y * (torch.arange(y.shape[2])[None] < n[:, None])[:, None, :, None]

        n = lengths
        x = cut(x[:, None], n).to(memory_format=torch.channels_last)
        n = (n + 1) // 2
        x = cut(F.relu(c0(x)), n)
        n = (n + 1) // 2
        x = cut(F.relu(c3(c2(x))), n)
        n = (n + 1) // 2
        x = F.relu(c6(c5(x)))
        b, c, t, f = x.shape
        return self.out(x.transpose(1, 2).reshape(b, t, c * f)), n

    pe.forward = types.MethodType(pre, pe)

    def one(self, x):
        return F.linear(x.transpose(1, 2), self.weight[:, :, 0], self.bias).transpose(1, 2)

    def depth(causal):
        def go(self, x, **kw):
            k = self.kernel_size[0]
            l = k - 1 if causal else (k - 1) // 2
            T = x.shape[2]
            xp = F.pad(x, (l, k - 1 - l))
            w = self.weight[:, 0]
            y = sum(xp[:, :, i : i + T] * w[:, i, None] for i in range(k))
            return y if self.bias is None else y + self.bias[:, None]

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
        self.ctc_alone = False  # whether the CTC head learns without the encoder

    def encode(self, mels):
        lens = torch.tensor([x.shape[1] for x in mels])
        pad = nn.utils.rnn.pad_sequence([x.T for x in mels], batch_first=True)
        enc, n = self.m.conformer(pad.mT, lens)
        return enc.mT, n

    def ctc_loss(self, enc, n, words):
        """Of the clips in which something is said; words of the others is None."""
        keep = [i for i, w in enumerate(words) if w]
        if not keep:
            return torch.zeros(())
        lp = self.ctc(enc[keep]).log_softmax(-1).transpose(0, 1)
        y = torch.tensor([t for i in keep for t in words[i]])
        yl = torch.tensor([len(words[i]) for i in keep])
        return F.ctc_loss(lp, y, n[keep], yl, blank=0, zero_infinity=True)

    def audio_losses(self, h, y):
        """Cross-entropy of each codebook, of hidden states h [N, D] and frames y [N, 8]. Entries
        that no frame uses are pushed down by a sample of them each time."""
        m = self.m
        x = m.depth_linear(h).view(len(h), CODEBOOKS, -1)
        prev = torch.stack([m.depth_embeddings[k](y[:, k]) for k in range(CODEBOOKS - 1)], 1)
        z = m.depthformer(torch.cat([x[:, :1], x[:, 1:] + prev], 1))
        unused = USED + torch.randperm(CODES - USED)[:128]
        rows = torch.cat([torch.arange(USED), torch.tensor([EOA]), unused])
        target = torch.where(y == EOA, USED, y)
        losses = []
        for k in range(CODEBOOKS):
            e = m.depth_embeddings[k]
            logits = F.linear(e.embedding_norm(z[:, k]), e.to_logits.weight[rows])
            losses.append(F.cross_entropy(logits, target[:, k]))
        return torch.stack(losses)

    def forward(self, b, share=1.0):
        """{"text", "audio", "ctc"}: losses; "a0", "a7": of the first and the last codebook. share
        is how many of the frames are learnt from; ends always are."""
        m, kind, sup = self.m, b["kind"], b["sup"]
        B, L = kind.shape
        emb = torch.zeros(B, L, m.lfm.config.hidden_size)
        emb[kind == TEXT] = m.lfm.embed_tokens(b["text"])
        out = {}
        if b["mels"]:
            with torch.set_grad_enabled(self.hearing and torch.is_grad_enabled()):
                enc, n = self.encode(b["mels"])
                out["ctc"] = self.ctc_loss(enc.detach() if self.ctc_alone else enc, n, b["words"])
            mask = torch.arange(enc.shape[1])[None] < n[:, None]
            emb[kind == AIN] = m.audio_adapter(enc[mask])
        if len(b["aout"]):
            emb[kind == AOUT] = m.audio_embedding(b["aout"] + m.codebook_offsets).sum(1)
        h = m.lfm(inputs_embeds=emb, use_cache=False).last_hidden_state[:, :-1]
        logits = F.linear(h[((kind == TEXT) & sup)[:, 1:]], m.lfm.embed_tokens.weight)
        out["text"] = F.cross_entropy(logits, b["text"][sup[kind == TEXT]])
        if len(b["aout"]):
            ha, y = h[((kind == AOUT) & sup)[:, 1:]], b["aout"]
            if share < 1:
                keep = (torch.rand(len(ha)) < share) | (y[:, 0] == EOA)
                ha, y = ha[keep], y[keep]
            losses = self.audio_losses(ha, y)
            out["audio"] = (losses * m.audio_loss_weights).sum() / m.audio_loss_weights.sum()
            out["a0"], out["a7"] = losses[0].detach(), losses[-1].detach()
        return out
