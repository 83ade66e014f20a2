#!/usr/bin/env python3
"""Holds the order of the house: test_includes.py TREE | --self-test

Includes go down only (docs/ARCHITECTURE.md):
    apps -> serve -> text -> engine, audio, picture -> vad tokenizer vision chat backbone
    detokenizer -> stack -> core -> kernels; apps -> search -> learn -> engine;
    apps -> measure -> backbone; engine -> devices -> tokenizer, stack
and a few more habits that a compiler does not see; RULES below has one line for each.
Prints `file:line: what is wrong` and ends with 1 when something is. --self-test breaks each rule
in a small tree of its own and demands that exactly this is found.
"""
import pathlib
import re
import sys
import tempfile

STAGES = ["vad", "tokenizer", "vision", "chat", "backbone", "detokenizer"]
# Folder -> folders whose headers it may include. audio/ and picture/ know no model, so no stage
# either.
MAY_INCLUDE = {
    "kernels": {"kernels"},
    "core": {"core", "kernels"},
    "stack": {"stack", "core", "kernels"},
    **{stage: {stage, "stack", "core", "kernels"} for stage in STAGES},
    "audio": {"audio", "core", "kernels"},
    "picture": {"picture", "core", "kernels"},
    "text": {"text", "audio", "tokenizer", "core", "kernels"},
    # Of the stages a device knows what it can take whole.
    "devices": {"devices", "tokenizer", "stack", "core", "kernels"},
    "engine": {"engine", "devices", "stack", "core", "kernels", *STAGES},
    "learn": {"learn", "engine", "stack", "core", "kernels", *STAGES},
    "measure": {"measure", "backbone", "stack", "core", "kernels"},
    "search": {"search", "learn", "engine", "stack", "core", "kernels", *STAGES},
    # The server asks sessions by the public headers; of the stages it takes what hears turns.
    "serve": {"serve", "text", "engine", "audio", "picture", "vad", "core", "kernels"},
    "apps": {"apps", "serve", "search", "learn", "measure", "text", "engine", "audio", "picture",
             "devices", "stack", "core", "kernels", *STAGES},
    "include": set(),
    "samples": set(),
    "tests": {"tests", "apps", "serve", "search", "learn", "measure", "text", "engine", "audio",
              "picture", "devices", "stack", "core", "kernels", *STAGES},
    "tools": {"tests", "kernels"},  # what developers run may share a test's input
}
# Folders whose files have an order: what a.c and a.h include never leads back to a. (Elsewhere
# several files are one unit behind an inner header.)
ORDERED = {"apps"}
LIBRARY = {"kernels", "core", "stack", "devices", "engine", "include", *STAGES}
ENGINE_MAY_TAKE = {"audio/echo.h", "audio/gain.h"}
TEST_NAMES = {"unit": "test_", "law": "test_", "golden": "test_", "kernels": "test_",
              "api": "test_", "long": "long_", "fuzz": "fuzz_"}

C11 = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal
    stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads
    time uchar wchar wctype"""
POSIX = "dirent dlfcn fcntl glob libgen poll pthread pwd sched semaphore spawn strings" \
    " termios unistd"
SYSTEM = {f"{name}.h" for name in (C11 + " " + POSIX).split()}
SYSTEM_FOLDERS = ("sys/", "linux/", "asm/")
INTRINSICS = {"immintrin.h", "x86intrin.h", "cpuid.h", "arm_neon.h", "arm_acle.h"}

LINE_CAP, FILE_CAP, FUNCTION_CAP = 100, 600, 70
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
OUTSIDE_WORLD = re.compile(r"(?<![\w.>])(printf|puts|putchar|exit|_exit|quick_exit|getenv)\s*\("
                           r"|\b(stdout|stderr)\b")
GENERATED = re.compile(r"(made|generated|written) by .*tools/", re.IGNORECASE)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                               re.DOTALL)

RULES = {
    "down": "includes a folder that lies beside or above it",
    "rooted": "names a header of ours without its folder",
    "public": "may see only <runnel/...> and the C library",
    "third-party": "is a third-party header; exactly one .c may include it",
    "intrinsics": "belongs to kernels/; nothing else knows an instruction set",
    "world": "prints, exits or reads the environment; the library does not",
    "place": "lies in no folder of the house",
    "circle": "includes a file that needs this one; the files of apps have an order",
    "name": "is not picked up as a test under this name",
    "long line": f"is longer than {LINE_CAP} columns",
    "long file": f"is longer than {FILE_CAP} lines",
    "long function": f"is longer than {FUNCTION_CAP} lines",
}


def without_comments(text):
    """The text with comments and strings blanked, line numbers kept."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def is_system(header):
    return header in SYSTEM or header.startswith(SYSTEM_FOLDERS)


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.found = []             # (path, line, rule, detail)
        self.third_party = {}       # header -> [(path, line)] outside the tests
        self.needs = {}             # "apps/a" -> {"apps/b": (path, line)} of a.c and a.h

    def report(self, path, line, rule, detail):
        self.found.append((path, line, rule, detail))

    def check(self):
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            top = name.split("/")[0]
            if top in (".git", "answers") or top.startswith("build") or "tests/data/" in name:
                continue
            if "/build/" in name:  # of the Python wheel
                continue
            if path.is_file() and path.suffix in (".c", ".h", ".cpp", ".py", ".sh", ".cmake"):
                text = path.read_text(encoding="utf-8")
                self.check_size(name, text)
                if path.suffix in (".c", ".h", ".cpp"):
                    self.check_place(name)
                    self.check_includes(name, text)
                    self.check_functions(name, text)
                    self.check_world(name, text)
        for header, users in self.third_party.items():
            for path, line in users:
                if len(users) > 1 or not path.endswith(".c"):
                    self.report(path, line, "third-party", header)
        self.check_circles()
        return self.found

    def check_circles(self):
        """Every include that closes a circle, found from the file with the first name in it."""
        order, done = [], set()

        def visit(unit):
            order.append(unit)
            for other, place in sorted(self.needs.get(unit, {}).items()):
                if other in order:
                    self.report(*place, "circle", " > ".join(order[order.index(other):] + [other]))
                elif other not in done:
                    visit(other)
            done.add(order.pop())

        for unit in sorted(self.needs):
            if unit not in done:
                visit(unit)

    def check_size(self, name, text):
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_CAP:
                self.report(name, number, "long line", f"{len(line)} columns")
        if len(lines) > FILE_CAP and not GENERATED.search("\n".join(lines[:3])):
            self.report(name, len(lines), "long file", f"{len(lines)} lines")

    def check_place(self, name):
        parts = name.split("/")
        if parts[0] not in MAY_INCLUDE:
            self.report(name, 1, "place", parts[0])
        if parts[0] == "tests" and len(parts) == 3 and name.endswith(".c"):
            prefix = TEST_NAMES.get(parts[1])
            if prefix and not parts[2].startswith(prefix):
                self.report(name, 1, "name", f"{prefix}*.c is")

    def check_includes(self, name, text):
        folder = name.split("/")[0]
        for number, line in enumerate(text.splitlines(), 1):
            match = INCLUDE.match(line)
            if match and match[1] == '"':
                self.check_own(name, folder, number, match[2])
            elif match:
                self.check_foreign(name, folder, number, match[2])

    def check_own(self, name, folder, number, header):
        target = header.split("/")[0]
        unit, other = name.rsplit(".", 1)[0], header.rsplit(".", 1)[0]
        if folder in ORDERED and folder == target and unit != other:
            self.needs.setdefault(unit, {})[other] = (name, number)
        if folder in ("samples", "include"):
            self.report(name, number, "public", header)
        elif "/" not in header or target not in MAY_INCLUDE:
            self.report(name, number, "rooted", header)
        elif folder == "engine" and header in ENGINE_MAY_TAKE:
            return
        elif target not in MAY_INCLUDE.get(folder, ()):
            self.report(name, number, "down", header)

    def check_foreign(self, name, folder, number, header):
        if header.startswith("runnel/") or is_system(header):
            return
        if header in INTRINSICS:
            if folder not in ("kernels", "tests", "tools"):
                self.report(name, number, "intrinsics", header)
        elif folder in ("samples", "include"):
            self.report(name, number, "public", header)
        elif folder not in ("tests", "tools"):
            self.third_party.setdefault(header, []).append((name, number))

    def check_functions(self, name, text):
        """A function begins with a line at column 0 that ends in `{` and ends with `}` there;
        clang-format has made it so."""
        begin = None
        inside = False
        for number, line in enumerate(text.splitlines(), 1):
            if not inside and re.match(r"[A-Za-z_].*\(", line):
                begin = number
            if inside and line.startswith("}"):
                if number - begin + 1 > FUNCTION_CAP:
                    self.report(name, begin, "long function", f"{number - begin + 1} lines")
                begin, inside = None, False
            elif not inside and begin is not None:
                inside = line.endswith("{")
                if line.endswith(";"):
                    begin = None

    def check_world(self, name, text):
        if name.split("/")[0] not in LIBRARY:
            return
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            match = OUTSIDE_WORLD.search(line)
            if match:
                self.report(name, number, "world", match[0].rstrip("( "))


LONG_FUNCTION = "int f(void) {\n" + "    g();\n" * 70 + "}\n"
GOOD = {
    "kernels/scalar.c": '#include "kernels/kernels.h"\n#include <immintrin.h>\n',
    "core/fft.c": '#include <fftw3.h>\n#include "core/fft.h"\n#include "kernels/kernels.h"\n',
    "engine/live.c": '#include "audio/echo.h"\n#include "vad/vad.h"\n#include <runnel/runnel.h>\n'
                     '/* no printf( here */ const char *s = "exit(";\nint n = snprintf(b, 1, s);\n',
    "apps/reply.c": '#include "core/gguf.h"\n#include <sys/mman.h>\nint main(void) { exit(0); }\n',
    "apps/play.c": '#include "apps/reply.h"\n',
    "apps/a.c": '#include "apps/a.h"\n#include "apps/ab.h"\n',
    "apps/ab.h": '#include "apps/b.h"\n',
    "serve/net.c": '#include <libwebsockets.h>\n#include "vad/turn.h"\n',
    "samples/hello.c": "#include <runnel/runnel.h>\n#include <stdio.h>\n",
    "tests/unit/test_fft.c": "#include <cmocka.h>\n#include <fftw3.h>\n",
    "tokenizer/table.c": "/* Made by tools/make_table.py. */\n" + "int a;\n" * 700,
    "core/seventy.c": LONG_FUNCTION.replace("    g();\n", "", 2),
}
BAD = [
    ("down", "core/a.c", '#include "engine/model.h"\n'),
    ("down", "kernels/a.c", '#include "core/arena.h"\n'),
    ("down", "core/a.c", '#include "stack/stack.h"\n'),
    ("down", "stack/a.c", '#include "backbone/backbone.h"\n'),
    ("down", "stack/a.c", '#include "devices/devices.h"\n'),
    ("down", "backbone/a.c", '#include "devices/devices.h"\n'),
    ("down", "devices/a.c", '#include "engine/model.h"\n'),
    ("down", "audio/a.c", '#include "stack/stack.h"\n'),
    ("down", "backbone/a.c", '#include "tokenizer/mel.h"\n'),
    ("down", "audio/a.c", '#include "vad/vad.h"\n'),
    ("down", "engine/a.c", '#include "audio/file.h"\n'),
    ("down", "engine/a.c", '#include "apps/args.h"\n'),
    ("down", "vad/a.h", '  #  include "engine/model.h"\n'),
    ("down", "serve/a.c", '#include "apps/args.h"\n'),
    ("down", "serve/a.c", '#include "backbone/backbone.h"\n'),
    ("down", "audio/a.c", '#include "serve/net.h"\n'),
    ("down", "engine/a.c", '#include "measure/runs.h"\n'),
    ("down", "measure/a.c", '#include "apps/machine.h"\n'),
    ("down", "learn/a.c", '#include "search/genome.h"\n'),
    ("down", "search/a.c", '#include "audio/file.h"\n'),
    ("rooted", "core/a.c", '#include "arena.h"\n'),
    ("rooted", "core/a.c", '#include "../vad/vad.h"\n'),
    ("public", "samples/a.c", '#include "core/arena.h"\n'),
    ("public", "samples/a.c", "#include <sndfile.h>\n"),
    ("public", "include/runnel/a.h", '#include "core/arena.h"\n'),
    ("third-party", "core/other.c", "#include <fftw3.h>\n"),
    ("third-party", "core/a.h", "#include <jansson.h>\n"),
    ("intrinsics", "core/a.c", "#include <immintrin.h>\n"),
    ("world", "engine/a.c", 'void f(void) { printf("x"); }\n'),
    ("world", "core/a.c", 'const char *f(void) { return getenv("X"); }\n'),
    ("world", "core/a.c", 'void f(void) { fprintf(stderr, "x"); }\n'),
    ("circle", "apps/reply.h", '#include "apps/play.h"\n'),
    ("circle", "apps/b.c", '#include "apps/a.h"\n'),
    ("place", "utils/a.c", "int a;\n"),
    ("name", "tests/unit/fft.c", "int a;\n"),
    ("long line", "core/a.c", "int " + "a" * 97 + ";\n"),
    ("long line", "tools/a.py", "#" * 101 + "\n"),
    ("long file", "core/a.c", "int a;\n" * 601),
    ("long function", "core/a.c", LONG_FUNCTION),
    ("long function", "core/a.c", LONG_FUNCTION.replace("(void)", "(int a,\n      int b)")),
]


def rules_broken(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return [(rule, path) for path, _, rule, _ in Tree(root).check()]


def self_test():
    failed = 0
    broken = rules_broken(GOOD)
    if broken:
        print(f"the good tree: found {broken}, expected nothing")
        failed += 1
    for rule, name, text in BAD:
        broken = rules_broken({**GOOD, name: text})
        if (rule, name) not in broken or {r for r, _ in broken} != {rule}:
            print(f"{name} {text[:40]!r}: found {broken}, expected {rule}")
            failed += 1
    missing = set(RULES) - {rule for rule, _, _ in BAD}
    if missing:
        print(f"rules without a bad sample: {missing}")
        failed += 1
    print(f"self-test: {len(BAD) + 1} trees, {failed} wrong")
    return 1 if failed else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) != 1 or not pathlib.Path(arguments[0], "CMakeLists.txt").is_file():
        print(__doc__, file=sys.stderr)
        return 2
    found = Tree(arguments[0]).check()
    for path, line, rule, detail in found:
        print(f"{path}:{line}: {detail} {RULES[rule]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
