"""Did the loudspeaker play what was said? same_sound.py RECORDING RECORD.

RECORDING: of the loudspeaker, 24 kHz, mono. RECORD: of `runnel talk --record`, 16 kHz, its right
channel is what was said. Prints how much of it is found, in pieces of 100 ms, at one distance of
time (within 2 ms). Ends with 0 when at least 95 % is; 3 when at least 85 % is there, but moved: the
sound had gaps, as when the machine is too busy for the sound server; 1 when it is not there.
"""

import struct
import sys
import wave

RATE, PIECE = 4000, 400


def samples(path, channel):
    with wave.open(path) as w:
        rate, channels = w.getframerate(), w.getnchannels()
        data = w.readframes(w.getnframes())
    x = struct.unpack(f"<{len(data) // 2}h", data[: len(data) // 2 * 2])[channel::channels]
    step = rate // RATE
    return [sum(x[i : i + step]) / step for i in range(0, len(x) - step + 1, step)]


def likeness(a, b):
    ab = sum(p * q for p, q in zip(a, b))
    aa, bb = sum(p * p for p in a), sum(q * q for q in b)
    return ab / (aa * bb) ** 0.5 if aa > 0 and bb > 0 and len(a) == len(b) else 0.0


def loud(x):
    at = [i for i, v in enumerate(x) if abs(v) > 200]
    return (at[0], at[-1]) if at else sys.exit("nothing but silence")


recording, said = samples(sys.argv[1], 0), samples(sys.argv[2], 1)
(heard_from, _), (begin, end) = loud(recording), loud(said)
same = moved = lost = 0
lag, pieces = heard_from - begin, range(begin, end - PIECE, PIECE)
for at in pieces:
    piece = said[at : at + PIECE]
    starts = [at + d for d in range(lag - 8, lag + 9)]
    near = [likeness(piece, recording[max(0, start) : start + PIECE]) for start in starts]
    if max(near) > 0.85:
        same += 1
        continue
    moves = range(lag - RATE // 4, lag + RATE)
    far = [likeness(piece, recording[max(0, at + d) : at + d + PIECE]) for d in moves]
    if max(far) > 0.85:
        moved += 1
        lag = moves[far.index(max(far))]
    else:
        lost += 1
print(f"{len(pieces)} pieces: {same} the same, {moved} moved, {lost} not found")
if same >= 0.95 * len(pieces):
    sys.exit(0)
sys.exit(3 if same + moved >= 0.85 * len(pieces) else 1)
