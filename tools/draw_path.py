#!/usr/bin/env python3
"""Draws docs/path.svg, the way of sound through Runnel.

draw_path.py [FILE]     default: docs/path.svg; "-" is standard output

The same bytes each time (tests/tidy/CMakeLists.txt compares). Colours follow the reader's light or
dark page; the background is the page's own.
"""
import pathlib
import sys

WIDTH, HEIGHT = 900, 222
BOX_WIDTH, BOX_HEIGHT = 146, 62
COLUMNS = (4, 194, 384, 574)  # left edges; the backbone stands right of them over both rows
TOP, BOTTOM = 8, 152
BACKBONE = (764, TOP, 132, BOTTOM + BOX_HEIGHT - TOP)

STYLE = """
  text { font: 13px sans-serif; fill: #1f2328; text-anchor: middle }
  .name { font-weight: bold }
  .small { font-size: 11px; fill: #59636e }
  .free { font-size: 11px; fill: #7d8590 } /* on the page itself: seen on both */
  rect { fill: #ddf4ff; stroke: #0969da }
  .outside { fill: #f6f8fa; stroke: #59636e }
  path { fill: none; stroke: #7d8590; stroke-width: 1.5; marker-end: url(#head) }
  .cut { stroke: #cf222e; stroke-dasharray: 5 3 }
  marker path { fill: #7d8590; stroke: none; marker-end: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    rect { fill: #121d2f; stroke: #4493f8 }
    .outside { fill: #151b23; stroke: #9198a1 }
    .cut { stroke: #f85149 }
  }
"""


def text(x, y, words, kind=""):
    mark = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{mark}>{words}</text>'


def box(x, y, width, height, name, lines, kind=""):
    mark = f' class="{kind}"' if kind else ""
    first = y + height // 2 - 8 * len(lines) + 4
    out = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"{mark}/>',
           text(x + width // 2, first, name, "name")]
    out += [text(x + width // 2, first + 17 + 15 * i, line, "small")
            for i, line in enumerate(lines)]
    return out


def arrow(points, kind=""):
    mark = f' class="{kind}"' if kind else ""
    return f'<path d="M{" L".join(f"{x} {y}" for x, y in points)}"{mark}/>'


def draw():
    out = []
    heard = (("microphone", (), "outside"), ("audio/", ("echo, gain,", "16 kHz"), ""),
             ("vad/", ("speech or not,", "is the turn over"), ""),
             ("tokenizer/", ("mel, encoder,", "adapter"), ""))
    spoken = (("text", ("as it comes",), "outside"), ("loudspeaker", (), "outside"),
              ("audio/", ("rates and rings", "of the device"), ""),
              ("detokenizer/", ("codes to samples,", "24 kHz"), ""))
    for row, y in ((heard, TOP), (spoken, BOTTOM)):
        for x, (name, lines, kind) in zip(COLUMNS, row):
            out += box(x, y, BOX_WIDTH, BOX_HEIGHT, name, lines, kind)
    out += box(*BACKBONE, "backbone/", ("LFM2, one step", "at a time: text,", "or a frame of",
                                        "80 ms, whose codes", "the depthformer", "chooses"))
    for y, rows in ((TOP + BOX_HEIGHT // 2, 1), (BOTTOM + BOX_HEIGHT // 2, -1)):
        gaps = [(x + BOX_WIDTH, nxt) for x, nxt in zip(COLUMNS, COLUMNS[1:] + (BACKBONE[0],))]
        for left, right in gaps if rows == 1 else gaps[1:]:
            ends = ((left + 2, y), (right - 3, y))
            out.append(arrow(ends if rows == 1 else ends[::-1]))
    middle = (TOP + BOX_HEIGHT + BOTTOM) // 2
    half = BOX_WIDTH // 2
    out.append(arrow(((BACKBONE[0] - 2, middle), (COLUMNS[0] + half, middle),
                      (COLUMNS[0] + half, BOTTOM - 3))))
    out.append(text(COLUMNS[1] + half, middle - 6, "text tokens", "free"))
    speaks = COLUMNS[2] + half
    out.append(arrow(((speaks, TOP + BOX_HEIGHT + 2), (speaks, BOTTOM - 3)), "cut"))
    out.append(text(speaks + 84, middle - 6, "interruption: fade, stop", "free"))
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
         "<title>The way of sound: microphone, audio, vad, tokenizer, backbone, detokenizer, audio,"
         " loudspeaker</title>",
         f"<style>{STYLE}</style>",
         '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
         ' markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>']
        + out + ["</svg>", ""])


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else None
    if target == "-":
        sys.stdout.write(draw())
        return
    path = pathlib.Path(target or pathlib.Path(__file__).parents[1] / "docs/path.svg")
    path.write_text(draw())


main()
