#!/usr/bin/env python3
"""How far the estimate of heard words is off: measure_heard.py BUILD_FOLDER [QUESTION.wav ...]

Needs festival with festvox-us-slt-hts, the voice minnow was trained to speak with. Each reply of
minnow is laid along festival's rendering of the same sentence, whose word times are known, by
dynamic time warping over mel frames; so the true end of each word in the reply's sound is known to
about a frame of 10 ms. Then rnl_session_heard_text is asked every 80 ms of the reply, once while
the reply is being generated (end unknown: the pace of earlier replies), once after its end.
Prints the error in words, and in milliseconds of sound at word ends.
"""
import array
import ctypes as c
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import wave

FRAME = 1920


class Sampling(c.Structure):
    _fields_ = [("temperature", c.c_float), ("top_k", c.c_int)]


class TurnConfig(c.Structure):
    _fields_ = [("mode", c.c_int), ("text", Sampling), ("audio", Sampling), ("step_max", c.c_int),
                ("text_run", c.c_int), ("audio_run", c.c_int)]


class Engine:
    def __init__(self, build, model):
        self.lib = c.CDLL(f"{build}/librunnel.so")
        self.lib.rnl_turn_config_default.restype = TurnConfig
        self.model, self.session = c.c_void_p(), c.c_void_p()
        assert self.lib.rnl_model_open(model.encode(), None, c.byref(self.model), None) == 0
        assert self.lib.rnl_session_create(self.model, None, c.byref(self.session), None) == 0

    def ask(self, samples, rate):
        """Begins a fresh conversation with one spoken question."""
        s, lib = self.session, self.lib
        lib.rnl_session_reset(s)
        lib.rnl_model_system_prompt.restype = c.c_char_p
        prompt = lib.rnl_model_system_prompt(self.model, 0)
        assert lib.rnl_session_add_text(s, 0, prompt, c.c_size_t(len(prompt)), None) == 0
        clip = (c.c_float * len(samples))(*samples)
        assert lib.rnl_session_add_audio(s, clip, c.c_size_t(len(samples)), rate, None) == 0
        turn = lib.rnl_turn_config_default(self.model, 0)
        assert lib.rnl_session_begin(s, c.byref(turn), None) == 0

    def heard(self, count):
        text, size = c.create_string_buffer(4096), c.c_size_t()
        self.lib.rnl_session_heard_text(self.session, c.c_size_t(count), text, c.c_size_t(4096),
                                        c.byref(size))
        return len(text.raw[:size.value].decode().split())

    def run(self):
        """Text, samples, and what was estimated of the sound when it had just been made."""
        s, lib = self.session, self.lib
        text, sound, early = b"", array.array("f"), []
        buffer, piece, got = c.create_string_buffer(4096), (c.c_float * 8192)(), c.c_size_t()
        while True:
            status = lib.rnl_session_step(s, None)
            assert status >= 0
            while lib.rnl_session_pull_text(s, buffer, c.c_size_t(4096), c.byref(got)) == 0:
                text += buffer.raw[:got.value]
            before = len(sound)
            while lib.rnl_session_pull_samples(s, piece, c.c_size_t(8192), c.byref(got)) == 0:
                sound.extend(piece[:got.value])
            if status == 2:
                return text.decode(), sound, early
            if len(sound) > before:
                early.append((len(sound), self.heard(len(sound))))


def read_wav(path):
    with wave.open(path) as f:
        pcm = array.array("h", f.readframes(f.getnframes()))
        return [x / 32768 for x in pcm], f.getframerate()


def write_wav(path, sound, rate):
    pcm = array.array("h", (max(-32767, min(32767, int(x * 32767))) for x in sound))
    with wave.open(path, "wb") as f:
        f.setnchannels(1), f.setsampwidth(2), f.setframerate(rate)
        f.writeframes(pcm.tobytes())


def mel(build, model, path, folder):
    """[frames][16]: neighbouring bands of the front end's log-mel added up."""
    out = f"{folder}/mel.npy"
    subprocess.run([f"{build}/runnel", "dump", "-q", "-m", model, "mel", path, "-o", out],
                   check=True)
    data = open(out, "rb").read()
    size = int.from_bytes(data[8:10], "little")
    shape = eval(data[10:10 + size].decode())["shape"]
    x = array.array("f", data[10 + size:])
    return [[sum(x[t * shape[1] + b:t * shape[1] + b + 8]) for b in range(0, shape[1], 8)]
            for t in range(shape[0] - 1)]


def warp(a, b):
    """For each frame of a the frame of b that it is laid upon."""
    infinite = float("inf")
    cost = [[sum((p - q) ** 2 for p, q in zip(x, y)) for y in b] for x in a]
    best = [[infinite] * len(b) for _ in a]
    for i in range(len(a)):
        for j in range(len(b)):
            before = 0 if i == j == 0 else min(
                best[i - 1][j] if i else infinite, best[i][j - 1] if j else infinite,
                best[i - 1][j - 1] if i and j else infinite)
            best[i][j] = cost[i][j] + before
    i, j, path = len(a) - 1, len(b) - 1, {}
    while True:
        path.setdefault(i, j)
        if i == j == 0:
            return path
        steps = [(best[i - 1][j - 1], i - 1, j - 1) if i and j else None,
                 (best[i - 1][j], i - 1, j) if i else None,
                 (best[i][j - 1], i, j - 1) if j else None]
        _, i, j = min(s for s in steps if s)


def festival(text, path):
    """Speaks the text; ends of its words in seconds."""
    script = f"""(voice_cmu_us_slt_arctic_hts)
(set! utt (utt.synth (Utterance Text "{text}")))
(utt.save.wave utt "{path}" 'riff)
(mapcar (lambda (w) (format t "%f\\n" (item.feat w "word_end"))) (utt.relation.items utt 'Word))"""
    with tempfile.NamedTemporaryFile("w", suffix=".scm") as f:
        f.write(script)
        f.flush()
        out = subprocess.run(["festival", "--batch", f.name], check=True, capture_output=True)
    return [float(x) for x in out.stdout.split()]


def true_ends(build, model, text, sound, folder):
    write_wav(f"{folder}/reply.wav", sound, 24000)
    ends = festival(text, f"{folder}/festival.wav")
    path = warp(mel(build, model, f"{folder}/festival.wav", folder),
                mel(build, model, f"{folder}/reply.wav", folder))
    return [path[min(int(e * 100), max(path))] / 100 for e in ends]


def report(name, errors):
    absolute = [abs(e) for e in errors]
    print(f"{name:32} {len(errors):5} {sum(e == 0 for e in errors) / len(errors):8.0%} "
          f"{sum(a <= 1 for a in absolute) / len(errors):8.0%} {statistics.mean(errors):+8.2f} "
          f"{max(absolute):6}")


def main():
    build = sys.argv[1]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    model = f"{root}/samples/minnow/minnow.gguf"
    engine = Engine(build, model)
    known, unknown = [], []
    with tempfile.TemporaryDirectory() as folder:
        for path in sys.argv[2:] or sorted(glob.glob(f"{root}/samples/questions/*.wav")):
            engine.ask(*read_wav(path))
            text, sound, early = engine.run()
            if not sound or not text:
                continue
            ends = true_ends(build, model, text, sound, folder)
            if len(ends) != len(text.split()):
                continue # festival split a word
            spoken = lambda count: sum(e <= count / 24000 for e in ends)
            known += [engine.heard(n) - spoken(n) for n in range(FRAME, len(sound), FRAME)]
            unknown += [estimate - spoken(n) for n, estimate in early]
            pace = len(sound) / len(text)
            print(f"{len(sound) / 24000:5.2f} s, {pace:5.0f} samples a byte: {text}")
    print(f"\n{'error in words':32} {'n':>5} {'none':>8} {'<= 1':>8} {'mean':>8} {'most':>6}")
    report("end known", known)
    report("end unknown", unknown)


main()
