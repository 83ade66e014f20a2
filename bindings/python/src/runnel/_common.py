"""What all parts need: errors, arrays, strings, settings of the C library."""
from __future__ import annotations

from typing import Any, Mapping

import numpy as np
import numpy.typing as npt

from runnel import _native  # type: ignore[attr-defined]

ffi: Any = _native.ffi
lib: Any = _native.lib

Samples = npt.NDArray[np.float32]

MODES = {
    "interleaved": lib.RNL_MODE_INTERLEAVED,
    "transcribe": lib.RNL_MODE_TRANSCRIBE,
    "speak": lib.RNL_MODE_SPEAK,
    "text": lib.RNL_MODE_TEXT,
}


class Error(RuntimeError):
    """One sentence that names what is wrong, where, and what to do; status is "RNL_ERR_IO", ..."""

    def __init__(self, text: str, status: str) -> None:
        super().__init__(text)
        self.status = status


def text_of(pointer: Any, size: int | None = None) -> str:
    """A string of the library, which may be NULL: ""."""
    if pointer == ffi.NULL:
        return ""
    data: bytes = ffi.string(pointer) if size is None else ffi.buffer(pointer, size)[:]
    return data.decode("utf-8", "replace")


def check(status: int, error: Any) -> int:
    """Raises what a call says; gives back a status that is no error."""
    if status >= 0:
        return status
    text = text_of(error.text) or text_of(lib.rnl_status_text(status))
    raise Error(text, text_of(lib.rnl_status_name(status)))


def new_error() -> Any:
    return ffi.new("rnl_error *")


def mode_of(name: str) -> int:
    if name not in MODES:
        raise Error(f"mode: {name!r} is none of {', '.join(MODES)}", "RNL_ERR_ARGUMENT")
    return int(MODES[name])


def mono(samples: npt.ArrayLike) -> Samples:
    """Samples as the library takes them: integers of 16 bits are scaled, all else is float32."""
    array = np.asarray(samples)
    if array.ndim != 1:
        raise Error(f"samples have {array.ndim} dimensions; mono is one", "RNL_ERR_ARGUMENT")
    if array.dtype == np.int16:
        return np.ascontiguousarray(array.astype(np.float32) / np.float32(32768))
    if not np.issubdtype(array.dtype, np.floating):
        raise Error(f"samples are {array.dtype}; take float32 in [-1, 1] or int16",
                    "RNL_ERR_ARGUMENT")
    return np.ascontiguousarray(array, dtype=np.float32)


def pointer_to(array: Samples) -> Any:
    return ffi.cast("const float *", array.ctypes.data)


def apply(struct: Any, settings: Mapping[str, Any], allowed: tuple[str, ...],
          what: str) -> list[Any]:
    """Puts settings into a configuration; the library checks their ranges. What is returned is to
    be kept until it has copied them."""
    kept = []
    for name, value in settings.items():
        if name not in allowed:
            raise TypeError(f"{what} has no setting {name!r}; it has {', '.join(allowed)}")
        if isinstance(value, str):
            kept.append(ffi.new("char[]", value.encode()))
            value = kept[-1]
        setattr(struct, name, value)
    return kept
