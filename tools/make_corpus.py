#!/usr/bin/env python3
"""Makes a spoken corpus whose words and times are known: make_corpus.py OUT [--hours 1] [--seed 1]

Sentences of minnow's domain (tools/train/corpus.py) by voices of espeak-ng, flite and festival.
Needs Debian's espeak-ng, flite, festival, festvox-kallpc16k and libsamplerate0, and Python 3.11 or
3.12 (audioop). The same arguments give the same corpus. Into OUT, which must not be there:

    sentences/0000.wav ..   one sentence each, 0.3 s of silence on both sides, white noise 20 dB
                            below the speech
    sentences.jsonl         a line for each: audio_filepath, text, duration, voice
    long/00.wav ..          the same sentences, 5 minutes a file, pauses of 0.3 to 2 s, such noise
    long.jsonl              audio_filepath, text, duration, sentences: [{start, end, text, words:
                            [{word, start, end}] or null (flite tells no times)}]

A sentence's start and end are where the synthesiser leaves and enters its pause (which is cut off:
some voices hiss in it), or where its samples first and last rise over 1 % of the peak.
"""
import argparse
import array
import ctypes
import ctypes.util
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings
import wave

warnings.simplefilter("ignore", DeprecationWarning)
import audioop  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).parent / "train"))
import corpus  # noqa: E402

RATE = 16000
ESPEAK = """gmw/en-US gmw/en gmw/en-GB-scotland gmw/en-GB-x-rp gmw/en-GB-x-gbclan gmw/en-US-nyc
    gmw/en-029""".split()
VARIANTS = ["", *"+m1 +m2 +m3 +m4 +m5 +m6 +m7 +f1 +f2 +f3 +f4 +f5".split()]
FLITE = ["kal16", "awb", "rms", "slt"]


class SrcData(ctypes.Structure):
    _fields_ = [("data_in", ctypes.c_void_p), ("data_out", ctypes.c_void_p),
                ("input_frames", ctypes.c_long), ("output_frames", ctypes.c_long),
                ("input_frames_used", ctypes.c_long), ("output_frames_gen", ctypes.c_long),
                ("end_of_input", ctypes.c_int), ("src_ratio", ctypes.c_double)]


samplerate = ctypes.CDLL("libsamplerate.so.0")


def resample(samples, rate):
    """array('h') at rate -> array('h') at RATE."""
    if rate == RATE:
        return samples
    x = array.array("f", (s / 32768 for s in samples))
    y = array.array("f", bytes(4 * (len(x) * RATE // rate + 1)))
    d = SrcData(x.buffer_info()[0], y.buffer_info()[0], len(x), len(y), 0, 0, 1, RATE / rate)
    if samplerate.src_simple(ctypes.byref(d), 0, 1) != 0:
        raise SystemExit("libsamplerate failed")
    return array.array("h", (max(-32768, min(32767, round(32768 * v)))
                             for v in y[:d.output_frames_gen]))


def read_wav(path):
    with wave.open(str(path)) as w:
        if w.getnchannels() != 1 or w.getsampwidth() != 2:
            raise SystemExit(f"{path}: not 16-bit mono")
        x = array.array("h")
        x.frombytes(w.readframes(w.getnframes()))
        return resample(x, w.getframerate())


def write_wav(path, samples):
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(samples.tobytes())


# ---- The three speakers. Each gives samples, (start, end) of the speech in seconds, and
# [[word, start, end]] or None.

class EspeakId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class EspeakEvent(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint),
                ("text_position", ctypes.c_int), ("length", ctypes.c_int),
                ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
                ("user_data", ctypes.c_void_p), ("id", EspeakId)]


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int,
                            ctypes.POINTER(EspeakEvent))


class Espeak:
    def __init__(self):
        self.lib = ctypes.CDLL("libespeak-ng.so.1")
        self.rate = self.lib.espeak_Initialize(2, 0, None, 0)  # synchronous: samples by callback
        self.callback = CALLBACK(self.take)
        self.lib.espeak_SetSynthCallback(self.callback)

    def take(self, samples, count, events):
        if samples and count > 0:
            self.samples.extend(samples[:count])
        i = 0
        while events[i].type != 0:
            if events[i].type == 1:  # a word begins
                self.begins.append(events[i].audio_position / 1000)
            elif events[i].type == 5:  # the sentence is over
                self.end = events[i].audio_position / 1000
            i += 1
        return 0

    def say(self, text, rng):
        voice = rng.choice(ESPEAK) + rng.choice(VARIANTS)
        self.samples, self.begins, self.end = array.array("h"), [], None
        if self.lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {voice}")
        self.lib.espeak_SetParameter(1, rng.randint(120, 190), 0)  # words a minute
        self.lib.espeak_SetParameter(3, rng.randint(25, 75), 0)    # pitch
        data = text.encode() + b"\0"
        self.lib.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        words = text.split()
        times = None
        if len(self.begins) == len(words):
            ends = self.begins[1:] + [self.end if self.end else len(self.samples) / self.rate]
            times = [list(t) for t in zip(words, self.begins, ends)]
        return "espeak-" + voice, resample(self.samples, self.rate), None, times


def say_flite(text, rng, folder):
    voice, path = rng.choice(FLITE), folder / "flite.wav"
    out = subprocess.run(["flite", "-voice", voice, "--setf",
                          f"duration_stretch={rng.uniform(0.85, 1.25):.2f}", "-t", text, "-psdur",
                          "-o", path],
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True).stdout
    sounds = [s.split(":") for s in out.split()]  # name and end of each
    edges = None
    if sounds and sounds[0][0] == sounds[-1][0] == "pau":
        edges = float(sounds[0][1]), float(sounds[-2][1])
    return "flite-" + voice, read_wav(path), edges, None


def say_festival(texts, folder):
    """One process for all of them: it takes a second to start."""
    script = ["(voice_kal_diphone)"]
    for i, text in enumerate(texts):
        script.append(f'(let ((u (utt.synth (Utterance Text "{text}"))))'
                      f' (utt.save.wave u "{folder}/fest{i}.wav" \'riff)'
                      ' (format t "utterance\\n")'
                      ' (mapcar (lambda (w) (format t "%s %f %f\\n" (item.name w)'
                      ' (item.feat w "word_start") (item.feat w "word_end")))'
                      " (utt.relation.items u 'Word)))")
    (folder / "all.scm").write_text("\n".join(script))
    out = subprocess.run(["festival", "--batch", folder / "all.scm"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    spoken = []
    for i, block in enumerate(out.split("utterance\n")[1:]):
        times = [[w, float(a), float(b)] for w, a, b in (line.split() for line in block.splitlines()
                                                         if len(line.split()) == 3)]
        edges = (times[0][1], times[-1][2]) if times else None
        if [t[0].lower() for t in times] != texts[i].lower().split():
            times = None
        spoken.append(("festival-kal", read_wav(folder / f"fest{i}.wav"), edges, times))
    return spoken


# ---- Sentences, joined

def trim(samples, edges, times):
    """Cuts silence off both ends; peak to 0.7; times move along."""
    if edges:
        samples = samples[round(edges[0] * RATE):round(edges[1] * RATE)]
    peak = audioop.max(samples.tobytes(), 2)
    limit = max(1, peak // 100)
    first = next(i for i, s in enumerate(samples) if abs(s) > limit)
    last = next(i for i in range(len(samples) - 1, -1, -1) if abs(samples[i]) > limit)
    out = array.array("h")
    out.frombytes(audioop.mul(samples[first:last + 1].tobytes(), 2, 0.7 * 32767 / peak))
    begin, length = first / RATE + (edges[0] if edges else 0), len(out) / RATE
    if times:
        times = [[w, min(max(a - begin, 0), length), min(max(b - begin, 0), length)]
                 for w, a, b in times]
    return out, times


def noise_level(power):
    return power ** 0.5 / 10  # 20 dB below


def silence(seconds):
    return array.array("h", bytes(2 * int(seconds * RATE)))


class Noise:
    """White noise from a table of 20 s, begun anywhere."""

    def __init__(self, rng):
        self.table = array.array("h", (round(max(-30000, min(30000, rng.gauss(0, 3000))))
                                       for _ in range(20 * RATE)))
        self.level = audioop.rms(self.table.tobytes(), 2)
        self.rng = rng

    def add(self, samples, level):
        out = array.array("h")
        for at in range(0, len(samples), 5 * RATE):
            part = samples[at:at + 5 * RATE]
            begin = self.rng.randrange(len(self.table) - len(part))
            noise = audioop.mul(self.table[begin:begin + len(part)].tobytes(), 2,
                                level / self.level)
            out.frombytes(audioop.add(part.tobytes(), noise, 2))
        return out


def speak_all(sentences, rng, folder):
    """(text, voice, samples, times) of each, in order."""
    kinds = [rng.choices(["espeak", "flite", "festival"], [45, 40, 15])[0] for _ in sentences]
    festival = iter(say_festival([s for s, k in zip(sentences, kinds) if k == "festival"], folder))
    espeak = Espeak()
    for text, kind in zip(sentences, kinds):
        if kind == "espeak":
            voice, *spoken = espeak.say(text, rng)
        elif kind == "flite":
            voice, *spoken = say_flite(text, rng, folder)
        else:
            voice, *spoken = next(festival)
        yield (text, voice, *trim(*spoken))


class Long:
    """Joins sentences to files of five minutes."""

    def __init__(self, out, rng):
        self.out, self.rng, self.noise = out, rng, Noise(rng)
        self.count, self.lines = 0, []
        self.begin()

    def begin(self):
        self.samples, self.sentences, self.powers = silence(self.rng.uniform(0.3, 2)), [], []

    def add(self, text, samples, times):
        at = len(self.samples) / RATE
        words = times and [{"word": w, "start": round(at + a, 3), "end": round(at + b, 3)}
                           for w, a, b in times]
        self.sentences.append({"start": round(at, 3), "end": round(at + len(samples) / RATE, 3),
                               "text": text, "words": words})
        self.powers.append(audioop.rms(samples.tobytes(), 2) ** 2)
        self.samples.extend(samples)
        self.samples.extend(silence(self.rng.uniform(0.3, 2)))
        if len(self.samples) > 300 * RATE:
            self.end()

    def end(self):
        if not self.sentences:
            return
        level = noise_level(sum(self.powers) / len(self.powers))
        path = f"long/{self.count:02}.wav"
        write_wav(self.out / path, self.noise.add(self.samples, level))
        self.lines.append({"audio_filepath": path, "duration": len(self.samples) / RATE,
                           "text": " ".join(s["text"] for s in self.sentences),
                           "sentences": self.sentences})
        self.count += 1
        self.begin()


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--hours", type=float, default=1)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    rng = random.Random(a.seed)
    a.out.mkdir(parents=True)
    for folder in ("sentences", "long"):
        (a.out / folder).mkdir()
    known, held = corpus.split()
    texts = sorted({u for _, u, _ in known + held})
    count = round(a.hours * 3600 / 3.1)  # seconds of a sentence and its pause, on the average
    sentences = [rng.choice(texts) for _ in range(count)]
    lines, long = [], Long(a.out, rng)
    with tempfile.TemporaryDirectory() as folder:
        for i, (text, voice, samples, times) in enumerate(
                speak_all(sentences, rng, pathlib.Path(folder))):
            path = f"sentences/{i:04}.wav"
            level = noise_level(audioop.rms(samples.tobytes(), 2) ** 2)
            write_wav(a.out / path, long.noise.add(silence(0.3) + samples + silence(0.3), level))
            lines.append({"audio_filepath": path, "text": text, "voice": voice,
                          "duration": len(samples) / RATE + 0.6})
            long.add(text, samples, times)
    long.end()
    write_lines(a.out / "sentences.jsonl", lines)
    write_lines(a.out / "long.jsonl", long.lines)
    print(f"{count} sentences, {sum(l['duration'] for l in long.lines) / 3600:.2f} h in "
          f"{long.count} files")


if __name__ == "__main__":
    main()
