"""Long recordings: timed text of sound of any length."""
from __future__ import annotations

import dataclasses
import functools
from typing import Any, Iterable, Iterator

import numpy.typing as npt

from ._common import apply, check, ffi, lib, mono, new_error, pointer_to, text_of

SETTINGS = ("thread_count", "piece_min", "piece_max", "piece_cap", "word_times", "whole",
            "step_max", "seed", "memory_size_max")


@dataclasses.dataclass(frozen=True)
class Word:
    """Times are seconds from the first sample; confidence is a mean log-probability, <= 0."""
    text: str
    begin: float
    end: float
    confidence: float


@dataclasses.dataclass(frozen=True)
class Segment:
    """A sentence."""
    text: str
    begin: float
    end: float
    confidence: float
    words: tuple[Word, ...]


@dataclasses.dataclass(frozen=True)
class TranscriptPiece:
    text: str
    begin: float
    end: float
    confidence: float
    segments: tuple[Segment, ...]


def _destroy(_model: Any, pointer: Any) -> None:
    lib.rnl_transcript_destroy(ffi.new("rnl_transcript **", pointer))


def _piece(p: Any) -> TranscriptPiece:
    data: bytes = ffi.buffer(p.text, p.text_size)[:]

    def cut(part: Any) -> str:
        return data[part.text_at:part.text_at + part.text_size].decode("utf-8", "replace")

    words = tuple(Word(cut(w), w.begin, w.end, w.confidence)
                  for w in (p.words[i] for i in range(p.word_count)))
    segments = tuple(Segment(cut(s), s.begin, s.end, s.confidence,
                             words[s.word_at:s.word_at + s.word_count])
                     for s in (p.segments[i] for i in range(p.segment_count)))
    return TranscriptPiece(data.decode("utf-8", "replace"), p.begin, p.end, p.confidence, segments)


def transcribe(model: Any, blocks: Iterable[npt.ArrayLike], rate: int, system: str | None,
               settings: dict[str, Any]) -> Iterator[TranscriptPiece]:
    config = ffi.new("rnl_transcript_config *", lib.rnl_transcript_config_default(model))
    config.rate = rate
    prompt = None if system is None else ffi.new("char[]", system.encode())
    if prompt is not None:
        config.system = prompt
    kept = apply(config, settings, SETTINGS, "a transcript")
    box, error = ffi.new("rnl_transcript **"), new_error()
    check(lib.rnl_transcript_create(model, config, box, error), error)
    del kept
    return _run(ffi.gc(box[0], functools.partial(_destroy, model)), blocks)


def _run(t: Any, blocks: Iterable[npt.ArrayLike]) -> Iterator[TranscriptPiece]:
    error, piece, taken = new_error(), ffi.new("rnl_piece *"), ffi.new("size_t *")

    def ready() -> Iterator[TranscriptPiece]:
        while lib.rnl_transcript_pull(t, piece) == lib.RNL_OK:
            yield _piece(piece)

    for block in blocks:
        samples = mono(block)
        at = 0
        while at < len(samples):
            left = samples[at:]
            check(lib.rnl_transcript_push(t, pointer_to(left), len(left), taken, error), error)
            at += taken[0]
            yield from ready()
            if at < len(samples):
                check(lib.rnl_transcript_step(t, error), error)
    lib.rnl_transcript_finish(t)
    while True:
        status = lib.rnl_transcript_pull(t, piece)
        if status == lib.RNL_OK:
            yield _piece(piece)
        elif status == lib.RNL_DONE:
            return
        else:
            check(lib.rnl_transcript_step(t, error), error)
