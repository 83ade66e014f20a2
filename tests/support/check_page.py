#!/usr/bin/env python3
"""The page in a browser: check_page.py URL QUESTION.wav NEXT.wav

One question by voice, a second one that interrupts its answer, one in writing, one with push to
talk; then what a keyboard and a screen reader need, light and dark. QUESTION and NEXT: s16, mono,
of one rate. Prints a line for each thing, ends with 1 when one is wrong.
"""
import asyncio
import base64
import json
import pathlib
import sys
import tempfile
import wave

from browser import Browser

failed = 0


def check(what, holds, detail=""):
    global failed
    failed += not holds
    print("ok    " if holds else "FAILED", what, detail, flush=True)


def read(path):
    with wave.open(path) as f:
        return f.getframerate(), f.readframes(f.getnframes())


def write(path, rate, sound):
    with wave.open(path, "wb") as f:
        f.setparams((1, 2, rate, 0, "NONE", ""))
        f.writeframes(sound)


async def state(b):
    return json.loads(await b.js("JSON.stringify(window.runnel)"))


async def turns(b, count, seconds=30):
    await b.until(f"window.runnel.turns.length >= {count}", seconds)


async def quiet(b):
    await b.until("document.querySelector('#state').value === 'listening'", 60)


async def by_voice(url, question, following):
    """A question, and its answer is heard; the same again, with a second question in the midst of
    the answer: it begins 1.2 s after the first, of which 0.5 are the silence that ends a turn."""
    rate, first = read(question)
    _, second = read(following)

    def silence(seconds):
        return bytes(2 * int(rate * seconds))

    with tempfile.TemporaryDirectory() as work:
        microphone = str(pathlib.Path(work, "microphone.wav"))
        write(microphone, rate, silence(1) + first + silence(8))
        async with Browser(microphone) as b:
            await b.open(url)
            await b.js("document.querySelector('#talk').click()")
            await turns(b, 1)
            await quiet(b)
            s = await state(b)
            log = await b.js("document.querySelector('#log').innerText")
            check("a spoken question is answered", "response.output_audio.done" in s["events"],
                  log)
            turn = s["turns"][0]
            check("its latency is measured", 0 < turn["first_ms"] < 5000,
                  f"{turn['first_ms']:.0f} ms and {turn['silence_ms']} of silence")
            check("no gap", s["gaps"] == 0, str(s["gaps"]))
            events = [json.loads(frame) for frame in b.frames]
            sent = b"".join(base64.b64decode(e["delta"]) for e in events
                            if e["type"] == "response.output_audio.delta")
            heard = await b.heard()
            check("the loudspeaker plays what was sent", len(sent) > 20000 and sent in heard,
                  f"{len(sent) / 48000:.2f} s")
            check_clean(b, url, s)
        write(microphone, rate, silence(1) + first + silence(1.2) + second + silence(8))
        async with Browser(microphone) as b:
            await b.open(url)
            await b.js("document.querySelector('#talk').click()")
            await turns(b, 2)
            await quiet(b)
            s = await state(b)
            check("speech interrupts the answer", len(s["cuts"]) >= 1, str(s["cuts"]))
            check("what was heard of it is told in samples",
                  all(c["ms"] == c["samples"] // 24 and c["samples"] > 0 for c in s["cuts"]))
            check("the server agrees", s["events"].count("conversation.item.truncated")
                  == len(s["cuts"]), str(s["errors"]))
            check_clean(b, url, s)


def check_clean(b, url, s):
    check("no message of the browser", not b.problems, str(b.problems))
    check("no error", not s["errors"], str(s["errors"]))
    here = url.split("//")[1].split("/")[0]
    strange = [r for r in b.requests if r.split("//")[1].split("/")[0] != here]
    check("nothing is asked of others", not strange and len(b.requests) >= 4, str(b.requests))


async def in_writing(b):
    await b.js("document.querySelector('#text').focus()")
    await b.call("Input.insertText", text="Turn on the kitchen light.")
    await b.key("Enter", "Enter", "\r")
    await b.until("window.runnel.events.includes('response.done')")
    await quiet(b)
    log = await b.js("document.querySelector('#log').innerText")
    check("a written question is answered", log.startswith("You: Turn on the kitchen light.\n")
          and len(log.split("Runnel: ")[-1]) > 3, log)


async def push_to_talk(b, seconds):
    before = (await state(b))["events"].count("response.done")
    await b.js("document.querySelector('#push').click(); document.querySelector('#talk').click()")
    await b.until("!document.querySelector('#hold').disabled")
    await b.js("document.querySelector('#log').focus()")
    await b.key(" ", "Space", " ", up=False)
    await asyncio.sleep(seconds)
    check("the space bar holds", await b.js("document.querySelector('#state').value") == "hearing")
    await b.key(" ", "Space", down=False)
    await b.until("window.runnel.events.filter(e => e === 'response.done').length "
                  f"> {before}", 30)
    await quiet(b)
    events = (await state(b))["events"]
    check("push to talk", "input_audio_buffer.committed" in events
          and "input_audio_buffer.speech_started" not in events, str(set(events)))
    await b.key("Escape", "Escape")  # nothing sounds: nothing happens


async def for_everybody(b):
    tree = (await b.call("Accessibility.getFullAXTree"))["nodes"]
    roles = {}
    for node in tree:
        if not node.get("ignored"):
            name = node.get("name", {}).get("value", "")
            roles.setdefault(node["role"]["value"], []).append(name)
    named = [name for role in ("button", "textbox", "checkbox") for name in roles.get(role, [])]
    check("everything that is pressed or written has a name", len(named) >= 6 and all(named),
          str(named))
    check("a log and a status are told as such", "log" in roles and "status" in roles)
    await b.js("document.activeElement.blur(); document.querySelectorAll('details')"
               ".forEach(d => { d.open = true; })")
    reached = []
    for _ in range(12):
        await b.key("Tab", "Tab")
        reached.append(await b.js("document.activeElement.id || document.activeElement.tagName"))
    wanted = {"talk", "stop", "mute", "hold", "log", "text", "push", "key"}
    check("the keyboard reaches everything", wanted <= set(reached), str(reached))
    for scheme in ("light", "dark"):
        await b.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": scheme}])
        worst = await b.js(CONTRAST)
        check(f"contrast of the {scheme} colours", worst >= 4.5, f"{worst:.1f}")


# The least contrast (WCAG) of the texts that are seen with what lies behind them.
CONTRAST = """(() => {
  const bright = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  let worst = 21;
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.offsetParent === null || e.disabled) continue;
    const a = bright(getComputedStyle(e).color), b = bright(ground(e));
    worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return worst;
})()"""


async def main(url, question, following):
    await by_voice(url, question, following)
    rate, first = read(question)
    with tempfile.TemporaryDirectory() as work:
        microphone = str(pathlib.Path(work, "microphone.wav"))
        write(microphone, rate, first + bytes(20 * rate))
        async with Browser(microphone) as b:
            await b.open(url)
            await in_writing(b)
            await push_to_talk(b, len(first) / 2 / rate + 0.5)
            check_clean(b, url, await state(b))
            await for_everybody(b)
    return failed > 0


sys.exit(asyncio.run(main(*sys.argv[1:])))
