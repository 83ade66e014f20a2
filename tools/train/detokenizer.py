"""Step 3b, the detokenizer: codes -> spectrum -> sound, in Liquid's LFM2.5 layout.

    detokenizer.py CORPUS OUT --steps 4000 [--base DIR]     -> OUT/detok.pt, a few clips

Goes on from OUT/detok.pt when that exists. LFM2 blocks (256 wide, 6 of them), a window of 30
frames. It learns by spectral losses at five resolutions; from --critics on also from critics that
tell its sound from the true one: of the waveform folded by periods, and of spectra.
"""

import argparse
import math
import os
import time

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from codes import HOP, N_FFT, SUB
from common import FRAME, Clips

LENGTH = 14  # frames of an example
KINDS = ["conv", "conv", "sliding_attention", "conv", "sliding_attention", "conv"]


def detok_config(dim=256):
    return dict(
        hidden_size=dim,
        num_hidden_layers=len(KINDS),
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
        layer_types=KINDS,
    )


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
        la, ph = self.lin(x).mT.chunk(2, 1)
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


class PeriodCritic(nn.Module):
    """Sees the samples as rows of one period: [B, T] -> [B, 1, T / period, period]."""

    def __init__(self, period, width=16):
        super().__init__()
        self.period = period
        c = [1, width, 2 * width, 4 * width, 4 * width]
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0)))
            for a, b in zip(c, c[1:])
        )
        self.last = nn.Conv2d(c[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, x):
        x = x[:, : x.shape[1] // self.period * self.period]
        return walk(self, x.reshape(len(x), 1, -1, self.period))


class SpectrumCritic(nn.Module):
    """Sees log magnitudes at one resolution: [B, T] -> [B, 1, frames, bins]."""

    def __init__(self, size, width=16):
        super().__init__()
        self.size = size
        c = [1, width, width, width]
        self.layers = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, (3, 9), (1, 2), (1, 4)))
            for a, b in zip(c, c[1:])
        )
        self.last = nn.Conv2d(c[-1], 1, 3, padding=1)

    def forward(self, x):
        w = torch.hann_window(self.size)
        s = torch.stft(x, self.size, self.size // 4, window=w, return_complex=True).abs()
        return walk(self, s.clamp(min=1e-4).log().mT[:, None])


def walk(critic, x):
    """(what is said of each place, what each layer saw)"""
    seen = []
    for l in critic.layers:
        x = F.leaky_relu(l(x), 0.1)
        seen.append(x)
    return critic.last(x), seen


class Critics(nn.Module):
    def __init__(self):
        super().__init__()
        self.all = nn.ModuleList(
            [PeriodCritic(p) for p in (2, 3, 5, 7, 11)]
            + [SpectrumCritic(n) for n in (512, 1024, 2048)]
        )

    def judge(self, true, made):
        """How badly the two are told apart."""
        loss = 0
        for c in self.all:
            t, m = c(true)[0], c(made.detach())[0]
            loss = loss + F.relu(1 - t).mean() + F.relu(1 + m).mean()
        return loss / len(self.all)

    def pull(self, true, made):
        """What the detokenizer gains by: being taken for true, and looking alike inside."""
        fool, alike = 0, 0
        for c in self.all:
            with torch.no_grad():
                seen = c(true)[1]
            m, felt = c(made)
            fool = fool - m.mean()
            alike = alike + sum((a - b).abs().mean() / a.abs().mean() for a, b in zip(seen, felt))
        return fool / len(self.all) + alike / len(self.all)


def adopt(m, folder):
    """What an earlier edition's detokenizer learnt, except what its codes mean."""
    from safetensors.torch import load_file

    old = load_file(os.path.join(folder, "audio_detokenizer", "model.safetensors"))
    mine = m.state_dict()
    for k, v in old.items():
        if not k.startswith("emb."):
            mine[k].copy_(v)


def examples(clips, codes, at, rng, count, start):
    """(codes [count, 8, LENGTH], samples): from the beginnings of clips, or from anywhere."""
    ok = np.nonzero(np.diff(at) >= LENGTH)[0]
    ks, ws = [], []
    for i in rng.choice(ok, count):
        s = 0 if start else rng.integers(0, at[i + 1] - at[i] - LENGTH + 1)
        ks.append(codes[at[i] + s : at[i] + s + LENGTH].T)
        w = clips.wave(i)[s * FRAME : (s + LENGTH) * FRAME]
        ws.append(np.pad(w, (0, LENGTH * FRAME - len(w))))
    return torch.from_numpy(np.stack(ks)), torch.from_numpy(np.stack(ws))


def main(a):
    clips = Clips(a.corpus, "reply")
    z = np.load(os.path.join(a.out, "reply_codes.npz"))
    codes, at = z["codes"].astype(np.int64), z["at"]
    path = os.path.join(a.out, "detok.pt")
    torch.manual_seed(1)
    conf, crit, critics = detok_config(), SpectralLoss(), Critics()
    m = Detokenizer(conf)
    nn.init.normal_(m.emb.emb.weight, std=1.0)
    opt = torch.optim.AdamW(m.parameters(), lr=a.lr, betas=(0.8, 0.99), weight_decay=0.01)
    against = torch.optim.AdamW(critics.parameters(), lr=a.lr / 2, betas=(0.8, 0.99))
    step = 0
    if os.path.exists(path):
        kept = torch.load(path)
        m.load_state_dict(kept["model"])
        critics.load_state_dict(kept["critics"])
        opt.load_state_dict(kept["opt"])
        against.load_state_dict(kept["against"])
        step = kept["step"]
    elif a.base:
        adopt(m, a.base)

    def keep():
        parts = dict(critics=critics.state_dict(), opt=opt.state_dict(), step=step)
        parts |= dict(model=m.state_dict(), conf=conf, against=against.state_dict())
        torch.save(parts, path + ".tmp")
        os.replace(path + ".tmp", path)

    rng = np.random.default_rng(step + 1)
    t0, saved, shown = time.time(), time.time(), {}
    while step < min(a.steps, a.until or a.steps):
        lr = a.lr * min(1, (step + 1) / 200)
        lr *= 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / a.steps))
        for g in opt.param_groups:
            g["lr"] = lr
        start = step % 3 == 0  # every third batch: the true beginnings of clips
        k, w = examples(clips, codes, at, rng, a.batch, start)
        c = 0 if start else 2 * FRAME  # frames that lack their past are not judged
        y, w = m(k)[:, c:], w[:, c:]
        out = {"spectral": crit(y, w)}
        loss = out["spectral"]
        if step >= a.critics:
            out["told apart"] = critics.judge(w, y)
            against.zero_grad()
            out["told apart"].backward()
            against.step()
            if step >= a.critics + 100:
                out["pull"] = critics.pull(w, y)
                loss = loss + 0.1 * out["pull"]
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()
        step += 1
        for n, v in out.items():
            shown[n] = 0.98 * shown.get(n, v.item()) + 0.02 * v.item()
        if step % 50 == 0:
            figures = " ".join(f"{n} {v:.4f}" for n, v in shown.items())
            print(f"{(time.time() - t0) / 60:.1f} min step {step} {figures}", flush=True)
        if time.time() - saved > 300:
            keep()
            saved = time.time()
    keep()
    sample(m, clips, codes, at, a.out)


@torch.no_grad()
def sample(m, clips, codes, at, out):
    from scipy.io import wavfile

    m.eval()
    for i in (5, 500, 1500, 2500):
        if i < len(at) - 1:
            y = m(torch.from_numpy(codes[at[i] : at[i + 1]].T[None]))[0].numpy()
            y = (np.clip(y, -1, 1) * 32767).astype(np.int16)
            wavfile.write(f"{out}/detok_{i}.wav", 24000, y)
            open(f"{out}/detok_{i}.txt", "w").write(clips.meta[i]["text"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("out")
    parser.add_argument("--base", help="the folder of an earlier edition to begin from")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--until", type=int, help="stop at this step for now")
    parser.add_argument("--critics", type=int, default=2000, help="the step at which they begin")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    main(arguments)
