"""Builds runnel._native, the C library with its public functions as Python sees them.

The declarations are those of the headers themselves, as the preprocessor gives them. The library
is linked in whole, from RUNNEL_LIBRARY (a librunnel.a that is there already) or made by CMake.
"""
import os
import pathlib
import shlex
import subprocess
import sysconfig
import tempfile

from cffi import FFI

HEADERS = ("runnel.h", "runnel_live.h", "runnel_transcript.h")
LINKED = ("fftw3f", "samplerate", "jansson", "speexdsp")

here = pathlib.Path(__file__).resolve().parent
source = here.parent.parent
include = source / "include"


def compiler():
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def declarations():
    """The headers without what cffi knows by itself (bool, size_t, int32_t) or does not read."""
    with tempfile.TemporaryDirectory() as empty:
        for name in ("stdbool.h", "stddef.h", "stdint.h"):
            (pathlib.Path(empty) / name).touch()
        text = "".join(f"#include <runnel/{name}>\n" for name in HEADERS)
        # Not as GNU C, so that no attributes are written.
        command = [*compiler()[:1], "-E", "-P", "-U__GNUC__", "-nostdinc", f"-I{empty}",
                   f"-I{include}", "-xc", "-"]
        return subprocess.run(command, input=text, capture_output=True, text=True,
                              check=True).stdout


def library():
    given = os.environ.get("RUNNEL_LIBRARY")
    if given:
        return pathlib.Path(given).resolve()
    build = here / "build" / "library"
    subprocess.run(["cmake", "-S", str(source), "-B", str(build), "-DRUNNEL_APPS=OFF",
                    "-DCMAKE_BUILD_TYPE=Release"], check=True)
    subprocess.run(["cmake", "--build", str(build), "--target", "runnel_static",
                    f"-j{os.cpu_count() or 1}"], check=True)
    return build / "librunnel.a"


library_file = library()
builder = FFI()
builder.cdef(declarations())
builder.cdef('extern "Python" void runnel_python_log(void *, rnl_log_level, const char *);')
builder.set_source(
    "runnel._native",
    "".join(f"#include <runnel/{name}>\n" for name in HEADERS),
    include_dirs=[str(include)],
    extra_objects=[str(library_file)],
    libraries=[*LINKED, "m", "pthread"],
    depends=[str(library_file)],
)
