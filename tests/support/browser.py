"""A headless Chromium for tests, driven by its debugging protocol: a sound file is its microphone,
and what its loudspeaker would play is kept.

    async with Browser(microphone="question.wav") as b:
        await b.open("http://127.0.0.1:8080/")
        await b.js("document.title")

Needs the package websockets and Debian's chromium. b.problems: messages of the console and of the
browser; b.requests: every address that the page asked for; b.frames: what its WebSockets got.
"""
import asyncio
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

import websockets

FLAGS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--mute-audio", "--remote-debugging-port=0", "--use-fake-ui-for-media-stream",
         "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"]

# Whatever the page connects to the loudspeaker goes to window.listened too, at the context's rate.
LISTEN = """
(() => {
  window.listened = [];
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode && !(this instanceof ScriptProcessorNode)) {
      const ear = this.context.createScriptProcessor(16384, 1, 1);
      ear.onaudioprocess = e => window.listened.push(e.inputBuffer.getChannelData(0).slice());
      connect.call(this, ear);
      connect.call(ear, to);
    }
    return connect.call(this, to, ...rest);
  };
})();
"""


class Browser:
    def __init__(self, microphone, flags=()):
        self.profile = tempfile.mkdtemp(prefix="runnel-chromium-")
        # %noloop: the file is heard once, then silence.
        file = f"--use-file-for-fake-audio-capture={pathlib.Path(microphone).resolve()}%noloop"
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        self.command = ["chromium", *FLAGS, file, f"--user-data-dir={self.profile}", *root, *flags,
                        "about:blank"]
        self.problems, self.requests, self.frames = [], [], []
        self.answers, self.number = {}, 0

    async def __aenter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        port = await self.debugging_port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            tab = next(t for t in json.load(answer) if t["type"] == "page")
        self.socket = await websockets.connect(tab["webSocketDebuggerUrl"], max_size=None)
        self.reader = asyncio.ensure_future(self.read())
        for domain in ("Page", "Log", "Runtime", "Network", "Accessibility"):
            await self.call(f"{domain}.enable")
        await self.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        return self

    async def __aexit__(self, *_):
        self.reader.cancel()
        await self.socket.close()
        self.process.terminate()
        self.process.wait(15)
        shutil.rmtree(self.profile, ignore_errors=True)

    async def debugging_port(self):
        file = pathlib.Path(self.profile, "DevToolsActivePort")
        for _ in range(300):
            if file.exists() and "\n" in file.read_text():
                return int(file.read_text().split("\n")[0])
            await asyncio.sleep(0.1)
        raise RuntimeError("chromium does not start")

    async def read(self):
        async for message in self.socket:
            m = json.loads(message)
            if "id" in m:
                self.answers.pop(m["id"]).set_result(m)
            elif m["method"] == "Log.entryAdded":
                entry = m["params"]["entry"]
                ours = "ScriptProcessorNode" in entry["text"]  # LISTEN's
                if entry["level"] != "verbose" and not ours:
                    self.problems.append(f"{entry['text']} {entry.get('url', '')}")
            elif m["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.problems.append(str(m["params"])[:400])
            elif m["method"] == "Network.webSocketFrameReceived":
                self.frames.append(m["params"]["response"]["payloadData"])
            elif m["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                self.requests.append(m["params"].get("url") or m["params"]["request"]["url"])

    async def call(self, method, **parameters):
        self.number += 1
        answer = self.answers[self.number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"id": self.number, "method": method,
                                           "params": parameters}))
        m = await asyncio.wait_for(answer, 30)
        if "error" in m:
            raise RuntimeError(f"{method}: {m['error']}")
        return m["result"]

    async def js(self, text):
        """The value of an expression; a promise is waited for. It counts as a click of a person."""
        r = await self.call("Runtime.evaluate", expression=text, awaitPromise=True,
                            returnByValue=True, userGesture=True)
        if "exceptionDetails" in r:
            raise RuntimeError(f"{text}: {json.dumps(r['exceptionDetails'])[:600]}")
        return r["result"].get("value")

    async def open(self, url):
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def until(self, condition, seconds=20):
        for _ in range(int(seconds / 0.05)):
            if await self.js(condition):
                return
            await asyncio.sleep(0.05)
        text = await self.js("document.body.innerText")
        raise TimeoutError(f"{condition}: not within {seconds} s\n{text}\n{self.problems}")

    async def key(self, key, code, text="", down=True, up=True):
        """Presses a key where the focus is, as a keyboard would."""
        number = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}.get(key, 0)
        for wanted, kind in ((down, "keyDown"), (up, "keyUp")):
            if wanted:
                await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code,
                                text=text if kind == "keyDown" else "",
                                windowsVirtualKeyCode=number)

    async def heard(self):
        """What came to the loudspeaker, s16, 24 kHz."""
        await asyncio.sleep(2)  # the last of its blocks
        text = await self.js("""(() => {
            const all = window.listened.flatMap(block => Array.from(block));
            const bytes = new Uint8Array(Int16Array.from(all,
                x => Math.max(-32768, Math.min(32767, Math.round(x * 32768)))).buffer);
            let text = '';
            for (const byte of bytes) text += String.fromCharCode(byte);
            return btoa(text);
        })()""")
        return base64.b64decode(text)
