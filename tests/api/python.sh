#!/usr/bin/env bash
# The Python wheel: python.sh SOURCE LIBRUNNEL.A. Made by pip from the library that was built,
# installed into a virtual environment, and asked by its own tests. Taken is the first Python that
# has what is needed (Debian's packages, tools/packages.sh), else PyPI is asked for it.
set -uo pipefail
source=$(realpath "$1") library=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

has_all() { # has_all PYTHON
    "$1" - <<'PY' 2> /dev/null
import setuptools  # before pip, which loads distutils
import cffi, numpy, os, pip, sysconfig, venv
try:
    import wheel
except ImportError:  # part of setuptools now
    from setuptools.command import bdist_wheel
assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
PY
}
python=
for candidate in python3 /usr/bin/python3; do
    if has_all $candidate; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    python3 -m venv own > log 2>&1 &&
        own/bin/pip install -q cffi numpy setuptools wheel > log 2>&1 && has_all own/bin/python &&
        python=own/bin/python
fi
if [ -z "$python" ]; then
    echo "skipped: no Python here has cffi, numpy, setuptools and Python.h; PyPI is out of reach"
    exit 77
fi

# A copy, so that builds of several presets do not meet in the source tree.
mkdir bindings
cp -r "$source/bindings/python" bindings/
rm -rf bindings/python/build bindings/python/src/*.egg-info
ln -s "$source/include" include
RUNNEL_LIBRARY=$library $python -m pip wheel -q --no-deps --no-build-isolation --no-index \
    -w wheels bindings/python > log 2>&1 || { cat log; echo "FAILED: pip wheel"; exit 1; }
$python -m venv --system-site-packages --without-pip room
$python -m pip --python room/bin/python install -q --no-deps --no-index wheels/runnel-*.whl \
    > log 2>&1 || { cat log; echo "FAILED: pip install"; exit 1; }
room/bin/python - <<'PY' || { echo "FAILED: what the wheel holds"; exit 1; }
import pathlib, runnel
folder = pathlib.Path(runnel.__file__).parent
assert "room" in folder.parts, folder
assert (folder / "py.typed").exists()
PY
room/bin/python "$source/bindings/python/tests/test_runnel.py" "$source"
