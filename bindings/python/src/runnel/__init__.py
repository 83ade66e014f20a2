"""Speech-to-speech with LFM2-Audio models, on the processor.

    model = runnel.Model("samples/minnow/minnow.gguf")
    session = model.session()
    session.add_audio(question, rate=16000)
    for piece in session.reply():
        print(piece) if isinstance(piece, str) else play(piece)
"""
from ._common import Error, Samples, lib, text_of
from ._live import Event, Live, Turn
from ._model import Log, Model, ModelInfo
from ._session import Piece, Session
from ._transcript import Segment, TranscriptPiece, Word

RATE_IN: int = lib.RNL_RATE_IN
RATE_OUT: int = lib.RNL_RATE_OUT
SPEECH_MS_MIN: int = lib.RNL_SPEECH_MS_MIN
__version__: str = text_of(lib.rnl_version())

__all__ = ["Error", "Event", "Live", "Log", "Model", "ModelInfo", "Piece", "RATE_IN", "RATE_OUT",
           "SPEECH_MS_MIN", "Samples", "Segment", "Session", "TranscriptPiece", "Turn", "Word",
           "__version__"]
