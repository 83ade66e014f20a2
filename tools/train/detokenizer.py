"""Step 3b, the detokenizer: codes -> spectrum -> sound, in Liquid's LFM2.5 layout.

    detokenizer.py CORPUS OUT --minutes 20   -> OUT/detok.pt, a few re-synthesised clips

Goes on from OUT/detok.pt when that exists, unless --fresh. LFM2 blocks (256 wide, 6 of them), a
window of 30 frames, spectral losses at five resolutions; no discriminator, hence a slight buzz.
"""

import argparse
import math
import os
import time

import librosa
import numpy as np
import torch
from torch import nn

from codes import HOP, N_FFT, SUB
from common import FRAME, Clips


def detok_config(dim=256):
    kinds = ["conv", "conv", "sliding_attention", "conv", "sliding_attention", "conv"]
    d = dict(
        hidden_size=dim,
        num_hidden_layers=len(kinds),
        num_attention_heads=dim // 32,
        num_key_value_heads=dim // 64,
        intermediate_size=3 * dim,
        block_auto_adjust_ff_dim=False,
        conv_L_cache=3,
        conv_bias=False,
        norm_eps=1e-5,
        rope_theta=1e6,
        sliding_window=30,
        vocab_size=16,
        max_position_embeddings=128000,
        layer_types=kinds,
    )
    return d


class Detokenizer(nn.Module):
    """Same graph as the upstream detokenizer, with the width taken from the configuration."""

    def __init__(self, conf):
        super().__init__()
        from transformers import Lfm2Config, Lfm2Model
        from liquid_audio.detokenizer import FusedEmbedding, ISTFT

        c = dict(conf)
        self.window = c["sliding_window"]
        c["layer_types"] = [
            "full_attention" if k == "sliding_attention" else k for k in c["layer_types"]
        ]
        self.emb = FusedEmbedding(c["hidden_size"])
        self.lfm = Lfm2Model(Lfm2Config(**c))
        self.lfm.set_attn_implementation("sdpa")
        self.lin = nn.Linear(c["hidden_size"], N_FFT + 2)
        self.istft = ISTFT(N_FFT, HOP, N_FFT, padding="same")

    def forward(self, codes):
        x = self.emb(codes).repeat_interleave(SUB, 1)
        i = torch.arange(x.shape[1])
        d = i - i[:, None]
        mask = ((d <= 0) & (d > -self.window))[None, None]
        x = self.lfm(inputs_embeds=x, attention_mask=mask, use_cache=False).last_hidden_state
        x = self.lin(x).float()
        la, ph = x.mT.chunk(2, 1)
        return self.istft(torch.polar(la.clamp(max=6).exp(), ph))


class SpectralLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.res = [(128, 32), (256, 64), (512, 128), (1024, 240), (2048, 480)]
        self.mels = {
            n: torch.from_numpy(librosa.filters.mel(sr=24000, n_fft=n, n_mels=m)).float()
            for n, m in ((512, 40), (1024, 80), (2048, 120))
        }

    def forward(self, y, t):
        loss = 0
        for n, h in self.res:
            w = torch.hann_window(n)
            Y, T = (torch.stft(v, n, h, window=w, return_complex=True).abs() for v in (y, t))
            loss = (
                loss
                + (Y.clamp(min=1e-4).log() - T.clamp(min=1e-4).log()).abs().mean() * 0.5
                + (Y - T).norm() / T.norm().clamp(min=1e-3)
            )
            if n in self.mels:
                m = self.mels[n]
                loss = (
                    loss
                    + 1.5
                    * ((m @ Y).clamp(min=1e-4).log() - (m @ T).clamp(min=1e-4).log()).abs().mean()
                )
        return loss / len(self.res)


def main(a):
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    torch.set_num_threads(a.threads)
    clips = Clips(a.corpus, "reply")
    z = np.load(os.path.join(a.out, "reply_codes.npz"))
    codes, at = z["codes"].astype(np.int64), z["at"]
    conf = detok_config()
    m = Detokenizer(conf)
    nn.init.normal_(m.emb.emb.weight, std=1.0)
    ck = os.path.join(a.out, "detok.pt")
    if os.path.exists(ck) and not a.fresh:
        m.load_state_dict(torch.load(ck)["model"])
        print("resumed")
    print(sum(p.numel() for p in m.parameters()) / 1e6, "M params")
    L, B = 14, a.batch
    ok = [i for i in range(len(clips)) if at[i + 1] - at[i] >= L]
    opt = torch.optim.AdamW(m.parameters(), lr=a.lr, betas=(0.8, 0.99), weight_decay=0.01)
    crit = SpectralLoss()
    t0, step, ema = time.time(), 0, None
    while True:
        el = (time.time() - t0) / 60
        if el > a.minutes:
            break
        for g in opt.param_groups:
            g["lr"] = (
                a.lr
                * min(1, (step + 1) / 200)
                * (0.5 * (1 + math.cos(math.pi * min(1, el / a.minutes))) * 0.95 + 0.05)
            )
        start = step % 3 == 0  # every third batch: the true beginnings of clips
        ks, ws = [], []
        for i in rng.choice(ok, B):
            s = 0 if start else rng.integers(0, at[i + 1] - at[i] - L + 1)
            ks.append(codes[at[i] + s : at[i] + s + L].T)
            w = clips.wave(i)[s * FRAME : (s + L) * FRAME]
            ws.append(np.pad(w, (0, L * FRAME - len(w))))
        k, w = torch.from_numpy(np.stack(ks)), torch.from_numpy(np.stack(ws))
        with torch.autocast("cpu", torch.bfloat16):
            y = m(k)
        c = 0 if start else 2 * FRAME  # frames that lack their past are not judged
        loss = crit(y.float()[:, c:], w[:, c:])
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()
        ema = loss.item() if ema is None else 0.98 * ema + 0.02 * loss.item()
        step += 1
        if step % 50 == 0:
            print(f"{el:.1f} min step {step} loss {ema:.4f}", flush=True)
        if step % 500 == 0:
            torch.save({"model": m.state_dict(), "conf": conf}, ck)
    torch.save({"model": m.state_dict(), "conf": conf}, ck)
    sample(m, clips, codes, at, a.out)


def sample(m, clips, codes, at, out):
    from scipy.io import wavfile

    m.eval()
    with torch.no_grad():
        for i in (5, 500, 1500, 2500):
            if i >= len(clips):
                continue
            y = m(torch.from_numpy(codes[at[i] : at[i + 1]].T[None]))[0].float().numpy()
            wavfile.write(
                f"{out}/detok_{i}.wav", 24000, (np.clip(y, -1, 1) * 32767).astype(np.int16)
            )
            open(f"{out}/detok_{i}.txt", "w").write(clips.meta[i]["text"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("out")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    main(arguments)
