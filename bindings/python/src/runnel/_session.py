"""A conversation: text and sound in, text and sound out."""
from __future__ import annotations

import functools
from typing import Any, Iterator, Union

import numpy as np
import numpy.typing as npt

from ._common import (Error, Samples, apply, check, ffi, lib, mode_of, mono, new_error, pointer_to,
                      text_of)

SETTINGS = ("context_cap", "thread_count", "clip_seconds_max", "snapshot_cap", "step_positions",
            "memory_size_max", "seed", "drop_oldest_turns", "adapter", "adapter_scale")
ROLES = {"system": lib.RNL_ROLE_SYSTEM, "user": lib.RNL_ROLE_USER,
         "assistant": lib.RNL_ROLE_ASSISTANT}
TEXT_CAP, SAMPLE_CAP = 1024, 4096

Piece = Union[str, Samples]


def _destroy(_model: Any, pointer: Any) -> None:
    """The model is held until its session is gone."""
    lib.rnl_session_destroy(ffi.new("rnl_session **", pointer))


class Session:
    """Made by Model.session. One thread at a time."""

    def __init__(self, model: Any, settings: dict[str, Any]) -> None:
        config = ffi.new("rnl_session_config *", lib.rnl_session_config_default())
        kept = apply(config, settings, SETTINGS, "a session")
        box, error = ffi.new("rnl_session **"), new_error()
        check(lib.rnl_session_create(model, config, box, error), error)
        del kept
        self._model = model
        self._session = ffi.gc(box[0], functools.partial(_destroy, model))
        self._text = ffi.new("char[]", TEXT_CAP)
        self._samples = ffi.new("float[]", SAMPLE_CAP)

    def close(self) -> None:
        """Gives the memory back now; nothing else may be called afterwards."""
        if self._session is not None:
            ffi.release(self._session)
            self._session = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _open(self) -> Any:
        if self._session is None:
            raise Error("the session is closed", "RNL_ERR_STATE")
        return self._session

    def _call(self, function: Any, *arguments: Any) -> None:
        """A call that may have to wait until the clip before is encoded."""
        error = new_error()
        while check(function(self._open, *arguments, error), error) == lib.RNL_AGAIN:
            check(lib.rnl_session_step(self._open, error), error)

    def add_text(self, text: str, role: str = "user") -> None:
        if role not in ROLES:
            raise Error(f"role: {role!r} is none of {', '.join(ROLES)}", "RNL_ERR_ARGUMENT")
        data = text.encode()
        self._call(lib.rnl_session_add_text, ROLES[role], data, len(data))

    def add_audio(self, samples: npt.ArrayLike, rate: int = lib.RNL_RATE_IN) -> None:
        """One clip of the user."""
        clip = mono(samples)
        self._call(lib.rnl_session_add_audio, pointer_to(clip), len(clip), rate)

    def push_audio(self, samples: npt.ArrayLike, rate: int = lib.RNL_RATE_IN) -> None:
        """The same in pieces, as they come from a microphone; reply ends the clip."""
        clip = mono(samples)
        self._call(lib.rnl_session_push_audio, pointer_to(clip), len(clip), rate)

    def reply(self, mode: str = "interleaved", *, step_max: int | None = None,
              temperature: float | None = None, top_k: int | None = None,
              top_p: float | None = None, min_p: float | None = None,
              repeat_penalty: float | None = None, audio_temperature: float | None = None,
              audio_top_k: int | None = None) -> Iterator[Piece]:
        """Begins the answer: its text as str and its sound as float32 at RATE_OUT, as they are
        made. Whoever stops to iterate stops the answer. What is None is as the model says; the
        ranges are those of rnl_sampling."""
        turn = ffi.new("rnl_turn_config *",
                       lib.rnl_turn_config_default(self._model, mode_of(mode)))
        if step_max is not None:
            turn.step_max = step_max
        text = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p,
                "repeat_penalty": repeat_penalty}
        audio = {"temperature": audio_temperature, "top_k": audio_top_k}
        for sampling, wanted in ((turn.text, text), (turn.audio, audio)):
            for name, value in wanted.items():
                if value is not None:
                    setattr(sampling, name, value)
        self._call(lib.rnl_session_begin, turn)
        return self._generate()

    def _generate(self) -> Iterator[Piece]:
        error = new_error()
        status = lib.RNL_OK
        try:
            while status != lib.RNL_DONE:
                status = check(lib.rnl_session_step(self._open, error), error)
                yield from self._pull()
        finally:
            if status != lib.RNL_DONE and self._session is not None:
                lib.rnl_session_stop(self._session)
                while lib.rnl_session_step(self._session, ffi.NULL) in (lib.RNL_OK, lib.RNL_AGAIN):
                    for _ in self._pull():
                        pass
                for _ in self._pull():
                    pass

    def _pull(self) -> Iterator[Piece]:
        size = ffi.new("size_t *")
        while lib.rnl_session_pull_text(self._open, self._text, TEXT_CAP, size) == lib.RNL_OK:
            yield text_of(self._text, size[0])
        while lib.rnl_session_pull_samples(self._open, self._samples, SAMPLE_CAP,
                                           size) == lib.RNL_OK:
            yield np.frombuffer(ffi.buffer(self._samples, 4 * size[0]), np.float32).copy()

    @property
    def finish(self) -> str:
        """Why the last answer ended: "end", "limit", "context", "stopped"; "none" before one."""
        reply = ffi.new("rnl_reply *")
        lib.rnl_session_get_reply(self._open, reply)
        return text_of(lib.rnl_finish_name(reply.finish))

    @property
    def position_count(self) -> int:
        return int(lib.rnl_session_position_count(self._open))

    def snapshot(self, slot: int = 0) -> None:
        error = new_error()
        check(lib.rnl_session_snapshot(self._open, slot, error), error)

    def restore(self, slot: int = 0) -> None:
        error = new_error()
        check(lib.rnl_session_restore(self._open, slot, error), error)

    def rewind(self, sample_count: int) -> None:
        """Cuts the last answer back to what was heard of it: so many of its samples."""
        error = new_error()
        check(lib.rnl_session_rewind(self._open, sample_count, error), error)

    def reset(self) -> None:
        """Back to a conversation that has not begun."""
        lib.rnl_session_reset(self._open)
