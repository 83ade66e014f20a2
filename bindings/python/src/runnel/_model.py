"""A model: loaded once, shared by all that is made of it, by any number of threads."""
from __future__ import annotations

import dataclasses
import os
from typing import Any, Callable, Iterable, Iterator, Mapping, Union

import numpy as np
import numpy.typing as npt

from ._common import Error, check, ffi, lib, mode_of, mono, new_error, pointer_to, text_of
from ._live import Live
from ._session import Session
from ._transcript import TranscriptPiece, transcribe

Log = Callable[[str, str], None]
Path = Union[str, "os.PathLike[str]"]
Adapters = Mapping[str, Union[Path, "list[tuple[Path, float]]"]]


@ffi.def_extern()  # type: ignore[untyped-decorator, unused-ignore]
def runnel_python_log(context: Any, level: int, text: Any) -> None:
    ffi.from_handle(context)("warning" if level == lib.RNL_LOG_WARNING else "info", text_of(text))


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    name: str
    codec: str  # "lfm", "mimi" or "none"
    takes_audio: bool
    gives_audio: bool
    layer_count: int
    width: int
    vocab_count: int
    codebook_count: int
    context_trained: int
    weight_size: int


def _close(pointer: Any) -> None:
    lib.rnl_model_close(ffi.new("rnl_model **", pointer))


class Model:
    """A GGUF bundle, the first file of an official GGUF set, or a Hugging Face folder. Its memory
    goes when it and all that was made of it are gone."""

    def __init__(self, path: str | os.PathLike[str], *, mmproj: str | None = None,
                 vocoder: str | None = None, tokenizer: str | None = None, exact: bool = False,
                 cpu: str | None = None, thread_count: int | None = None,
                 log: Log | None = None, adapters: Adapters | None = None,
                 device: str | None = None) -> None:
        """adapters: files by name, which sessions choose (adapter="name"); several files, or one
        with a scale, as a list of pairs (file, scale), whose effects add. device: "cpu", "gpu",
        "npu", "gpu:NAME", "npu:NAME"; one that cannot be used is told to log, and the CPU
        computes."""
        config = ffi.new("rnl_model_config *", lib.rnl_model_config_default())
        kept = []  # until the model is open
        for field, value in (("mmproj_path", mmproj), ("vocoder_path", vocoder),
                             ("tokenizer_path", tokenizer), ("cpu", cpu)):
            if value is not None:
                kept.append(ffi.new("char[]", os.fsencode(value)))
                setattr(config, field, kept[-1])
        if device is not None:
            kept.append(ffi.new("char[]", device.encode()))
            kept.append(ffi.new("rnl_device_config *", lib.rnl_device_config_default()))
            kept[-1].device = kept[-2]
            config.device = kept[-1]
        config.exact = exact
        if thread_count is not None:
            config.thread_count = thread_count
        rows = [(name, file, scale) for name, files in (adapters or {}).items()
                for file, scale in (files if isinstance(files, list) else [(files, 1.0)])]
        config.adapters = table = ffi.new("rnl_adapter_config[]", max(len(rows), 1))
        config.adapter_count = len(rows)
        for row, (name, file, scale) in zip(table, rows):
            kept += [ffi.new("char[]", name.encode()), ffi.new("char[]", os.fsencode(file))]
            row.name, row.path, row.scale = kept[-2], kept[-1], scale
        handle = None if log is None else ffi.new_handle(log)
        if handle is not None:
            config.log = lib.runnel_python_log
            config.log_context = handle
        box, error = ffi.new("rnl_model **"), new_error()
        check(lib.rnl_model_open(os.fsencode(path), config, box, error), error)
        self._log = handle  # is called when a device is lost, too
        self._model = ffi.gc(box[0], _close)

    @property
    def info(self) -> ModelInfo:
        info = ffi.new("rnl_model_info *")
        lib.rnl_model_get_info(self._model, info)
        return ModelInfo(text_of(info.name), text_of(info.codec), info.takes_audio,
                         info.gives_audio, info.layer_count, info.width, info.vocab_count,
                         info.codebook_count, info.context_trained, info.weight_size)

    @property
    def device(self) -> str:
        """What computes: "cpu", or the kind and name of a device."""
        return text_of(lib.rnl_model_device(self._model, ffi.NULL))

    @property
    def adapters(self) -> list[str]:
        """The names that sessions can choose."""
        count = lib.rnl_model_adapter_count(self._model)
        return [text_of(lib.rnl_model_adapter_name(self._model, i)) for i in range(count)]

    def can(self, mode: str) -> bool:
        """Whether it can answer so: "interleaved", "transcribe", "speak", "text"."""
        return bool(lib.rnl_model_can(self._model, mode_of(mode)))

    def session(self, **settings: Any) -> Session:
        """A conversation. Settings are the fields of rnl_session_config: context_cap,
        thread_count, clip_seconds_max, seed, drop_oldest_turns, ..."""
        return Session(self._model, settings)

    def transcribe(self, samples: npt.ArrayLike | Iterable[npt.ArrayLike],
                   rate: int = lib.RNL_RATE_IN, *, system: str | None = None,
                   **settings: Any) -> Iterator[TranscriptPiece]:
        """Timed text of sound of any length: an array, or an iterable of arrays. Settings are the
        fields of rnl_transcript_config: thread_count, piece_max, word_times, ..."""
        blocks: Any = [samples] if isinstance(samples, np.ndarray) else samples
        return transcribe(self._model, blocks, rate, system, settings)

    def live(self, rate: int = lib.RNL_RATE_IN, *, system: str | None = None,
             **settings: Any) -> Live:
        """A spoken conversation that can be interrupted, both ways at this rate. Settings are the
        fields of rnl_live_config and of its session."""
        return Live(self._model, rate, system, settings)

    def speech_ms(self, samples: npt.ArrayLike, rate: int = lib.RNL_RATE_IN) -> float:
        """How much speech is in a clip; below SPEECH_MS_MIN there is none to answer."""
        clip, error, out = mono(samples), new_error(), ffi.new("double *")
        check(lib.rnl_model_speech_ms(self._model, pointer_to(clip), len(clip), rate, out, error),
              error)
        return float(out[0])


__all__ = ["Error", "Log", "Model", "ModelInfo"]
