"""Step 3a, codes for the reply voice: residual k-means over 80 ms of log-mel.

    codes.py CORPUS OUT        -> OUT/rvq.npz, OUT/reply_codes.npz

A frame is six log-mel columns, reduced by PCA to 128 numbers; eight codebooks of 512 entries each
take what the one before left over. Minnow's codes are its own: they are not Mimi's.
"""

import argparse
import os

import librosa
import numpy as np
import torch
import torch.nn.functional as F

from common import CODEBOOKS, FRAME, USED, Clips

N_FFT, HOP, SUB = 1280, 320, 6  # as in the detokenizer (spec audio.md 8); 6 hops are a frame


def mel_matrix(rate=24000, n_fft=N_FFT, n=80):
    return torch.from_numpy(
        librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n, fmin=0, fmax=12000)
    ).float()


def features(x, mel):
    """x [T] -> [frames, 6*80] log-mel, T padded to whole 80 ms frames. Windows are centred as those
    of the inverse STFT, so that a code describes the samples it will be turned into."""
    n = -(-len(x) // FRAME) * FRAME
    x = F.pad(x, (0, n - len(x)))
    p = (N_FFT - HOP) // 2
    s = torch.stft(
        F.pad(x, (p, p)),
        N_FFT,
        HOP,
        window=torch.hann_window(N_FFT),
        center=False,
        return_complex=True,
    ).abs()
    return (mel @ s).clamp(min=1e-4).log().T.reshape(-1, SUB * mel.shape[0])


def kmeans(x, k, iters=25, seed=0):
    g = torch.Generator().manual_seed(seed)
    c = x[torch.randperm(len(x), generator=g)[:k]].clone()
    for it in range(iters):
        a = assign(x, c)
        n = torch.bincount(a, minlength=k).float()
        s = torch.zeros_like(c).index_add_(0, a, x)
        c = s / n.clamp(min=1)[:, None]
        dead = (n < 2).nonzero()[:, 0]
        if len(dead):
            c[dead] = x[torch.randint(len(x), (len(dead),), generator=g)]
    return c


def assign(x, c):
    out = []
    cc = (c * c).sum(1)
    for b in x.split(8192):
        out.append((cc[None] - 2 * b @ c.T).argmin(1))
    return torch.cat(out)


def main(a):
    torch.manual_seed(0)
    clips = Clips(a.corpus, "reply")
    mel = mel_matrix()
    fs = [features(torch.from_numpy(clips.wave(i)), mel) for i in range(len(clips))]
    x = torch.cat(fs)
    mu = x.mean(0)
    x0 = x - mu
    u, s, v = torch.linalg.svd(x0[torch.randperm(len(x0))[:20000]], full_matrices=False)
    P = v[:128].T  # [480,128] orthonormal
    z = x0 @ P
    print(
        len(clips),
        "clips",
        len(x),
        "frames; kept variance",
        float(z.var(0).sum() / x0.var(0).sum()),
    )
    r, books, codes = z, [], []
    for q in range(CODEBOOKS):
        c = kmeans(r[torch.randperm(len(r))[:60000]], USED, seed=q)
        k = assign(r, c)
        r = r - c[k]
        books.append(c)
        codes.append(k)
        print("book", q, "residual", float(r.var(0).sum() / z.var(0).sum()), flush=True)
    k = torch.stack(codes, 1).numpy().astype(np.int16)
    at = np.cumsum([0] + [len(f) for f in fs])
    np.savez(
        os.path.join(a.out, "rvq.npz"), mu=mu.numpy(), P=P.numpy(), books=torch.stack(books).numpy()
    )
    np.savez(os.path.join(a.out, "reply_codes.npz"), codes=k, at=at)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("out")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    main(arguments)
