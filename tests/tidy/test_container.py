#!/usr/bin/env python3
"""Containerfile: what a builder would only find after minutes, and what none looks for.

test_container.py TREE or --self-test. Stages that are named and used, images with a tag, sources
of COPY that are there and are not ignored, package lists that are cleaned up, an unprivileged user
and a health check in the last stage, words of exec forms that are JSON. A builder does the rest
(tests/long/container.sh).
"""
import fnmatch
import json
import pathlib
import re
import sys

KNOWN = {"FROM", "RUN", "COPY", "SHELL", "WORKDIR", "ENV", "VOLUME", "USER", "HEALTHCHECK",
         "ENTRYPOINT", "CMD", "ARG", "LABEL", "EXPOSE", "STOPSIGNAL"}


def instructions(text):
    """(line, word, rest) of each, continued lines joined, comments left out."""
    number, start, whole = 0, 0, ""
    for line in text.splitlines():
        number += 1
        if line.lstrip().startswith("#") or (not line.strip() and not whole):
            continue
        start = start if whole else number
        whole += line.rstrip("\\") if line.endswith("\\") else line
        if line.endswith("\\"):
            continue
        word, _, rest = whole.strip().partition(" ")
        yield start, word, rest.strip()
        whole = ""
    if whole:
        yield start, "", "the last line is continued"


def check(tree):
    found, stages, last = [], [], {}

    def report(line, text):
        found.append(f"Containerfile:{line}: {text}")

    ignored = (tree / ".containerignore").read_text().split()
    for line, word, rest in instructions((tree / "Containerfile").read_text()):
        if word not in KNOWN:
            report(line, f"{word or rest}: no instruction")
        elif word == "FROM":
            image, *name = re.split(r"\s+AS\s+", rest, flags=re.IGNORECASE)
            if image not in stages and (":" not in image or image.endswith(":latest")):
                report(line, f"{image}: an image without a tag changes by itself")
            stages.append(name[0] if name else "")
            last = {}
        elif not stages:
            report(line, f"{word} before FROM")
        elif word == "COPY":
            words = rest.split()
            options = [w for w in words if w.startswith("--")]
            sources = [w for w in words if not w.startswith("--")][:-1]
            origin = [o.split("=", 1)[1] for o in options if o.startswith("--from=")]
            if origin and origin[0] not in stages[:-1]:
                report(line, f"{origin[0]}: no stage before this one")
            for source in [] if origin else sources:
                if source != "." and not list(tree.glob(source)):
                    report(line, f"{source}: not in the tree")
                if any(fnmatch.fnmatch(source.split("/")[0], i) for i in ignored):
                    report(line, f"{source}: left out by .containerignore")
        elif word == "RUN":
            if "apt-get install" in rest and "apt-get update" not in rest:
                report(line, "apt-get install without update: the lists may be old")
            if "apt-get install" in rest and "--no-install-recommends" not in rest:
                report(line, "apt-get install with recommended packages")
            last.setdefault("runs", []).append((line, rest))
        if word in ("SHELL", "ENTRYPOINT", "CMD") or (word == "HEALTHCHECK" and "[" in rest):
            try:
                json.loads(rest[rest.index("["):])
            except ValueError:
                report(line, f"{word} is no list of JSON")
        if word != "FROM":
            last[word] = (line, rest)
    for line, rest in last.get("runs", []):
        if "apt-get update" in rest and "rm -rf" not in rest:
            report(line, "the lists of apt stay in the image")
    if last.get("USER", (0, "root"))[1].split(":")[0] in ("root", "0"):
        report(0, "the last stage runs as root")
    for word in ("HEALTHCHECK", "ENTRYPOINT"):
        if word not in last:
            report(0, f"the last stage has no {word}")
    return found


def self_test():
    """Each change must be found."""
    import tempfile
    tree = pathlib.Path(__file__).resolve().parent.parent.parent
    text = (tree / "Containerfile").read_text()
    changes = [("debian:bookworm-slim AS", "debian AS"), ("USER 10001", "USER root"),
               ("HEALTHCHECK", "#"), ("--from=build", "--from=built"), ("RUN cmake", "RAN cmake"),
               (" /var/lib/apt/lists/*", ""), ('"--plain"]', "['--help']"),
               ("apt-get update", "true"), ("tools/packages.sh tools/", "tools/none.sh tools/"),
               ("COPY . .", "COPY tests ."), ("--no-install-recommends", "")]
    missed = 0
    for old, new in changes:
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder)
            for name in ("tools", "tests"):
                (copy / name).symlink_to(tree / name)
            (copy / ".containerignore").write_text((tree / ".containerignore").read_text())
            changed = text.replace(old, new)
            if old == " /var/lib/apt/lists/*":
                changed = text.replace("rm -rf /tmp/packages /var/lib/apt/lists/* && ", "")
            assert changed != text, old
            (copy / "Containerfile").write_text(changed)
            if not check(copy):
                print(f"not found: {old} -> {new}")
                missed += 1
    print(f"self-test: {len(changes)} changes, {missed} not found")
    return missed


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    problems = check(pathlib.Path(sys.argv[1]))
    print("\n".join(problems) or "nothing to complain about")
    sys.exit(1 if problems else 0)
