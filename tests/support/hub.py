#!/usr/bin/env python3
"""A small model hub on loopback: hub.py FOLDER

Serves FOLDER/models/ORG/NAME/FILE as the hub does: model info, the tree of files, and files, the
large ones (*.gguf, *.safetensors) by a redirect to a second server at another port and under
another name. Writes FOLDER/ports (hub, store, hub over TLS when FOLDER/tls.pem is there) when it is
ready, and a line of JSON for every request to FOLDER/log. What goes wrong is read from FOLDER/fault
at every request: a line with a fault's name and its words, see the uses of fault() below.
Ends with its parent.
"""
import hashlib
import http.server
import json
import os
import pathlib
import re
import ssl
import sys
import threading
import time
import urllib.parse

FOLDER = pathlib.Path(sys.argv[1])
COMMIT = "c0ffee" + "0" * 34
LARGE = (".gguf", ".safetensors")
PAGE = 2  # entries of a page of a listing
LOCK = threading.Lock()


def fault(name):
    """The words behind a fault's name, or None: `cut 1000`, `status 429 30`, ..."""
    try:
        lines = (FOLDER / "fault").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1:] or ["1"] for line in lines if line.split()[:1] == [name]]
    return found[0] if found else None


def git_sum(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry(path, name):
    data = path.read_bytes()
    size = len(data) + int((fault("size") or ["0"])[0]) * name.endswith(LARGE)
    e = {"type": "file", "oid": git_sum(data), "size": size, "path": name}
    if name.endswith(LARGE):
        e["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 130}
        e["oid"] = git_sum(b"version https://git-lfs.github.com/spec/v1\n" + name.encode())
    return e


def listing(repo):
    entries = []
    for path in sorted(repo.rglob("*")):
        name = path.relative_to(repo).as_posix()
        if path.is_dir():
            entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": name})
        else:
            entries.append(entry(path, name))
    extra = fault("list")
    if extra:
        entries.append({"type": "file", "oid": "0" * 40, "size": 5,
                        "path": json.loads('"' + " ".join(extra) + '"')})
    return entries


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *arguments):
        pass

    def note(self):
        line = {"store": self.server.is_store, "method": self.command, "path": self.path,
                "token": self.headers.get("Authorization"), "range": self.headers.get("Range")}
        with LOCK, open(FOLDER / "log", "a") as log:
            log.write(json.dumps(line) + "\n")

    def fault_here(self, name):
        """A fault of the files alone whose path holds its first word."""
        words = fault(name)
        return words if words and words[0] in self.path else None

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_CONNECT(self):  # of a proxy
        self.note()
        self.answer(502)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.note()
        path = urllib.parse.unquote(self.path.split("?")[0])
        status = fault("status")
        secret = fault("secret")
        if self.server.is_store or path.startswith("/file/"):
            self.store(path)
        elif status:
            retry = [("Retry-After", status[1])] if len(status) > 1 else []
            self.answer(int(status[0]), b"{}", retry)
        elif secret and self.headers.get("Authorization") != "Bearer " + secret[0]:
            self.answer(401, b'{"error":"Invalid username or password."}')
        elif path.startswith("/api/models/"):
            self.api(path)
        else:
            self.resolve(path)

    def api(self, path):
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(.+)", path)
        repo = FOLDER / "models" / (match[1] if match else "none")
        if not repo.is_dir() or match[3] not in ("main", "v1", "refs/pr/1", COMMIT):
            self.answer(404, b'{"error":"not found"}', [("X-Error-Code", "RepoNotFound")])
        elif match[2] == "revision":
            card = json.loads((FOLDER / "card").read_text()) if (FOLDER / "card").exists() else {}
            self.json({"id": match[1], "modelId": match[1], "sha": COMMIT, "cardData": card,
                       "private": False, "tags": [], "siblings": []})
        elif fault("flood"):
            self.json([{"type": "directory", "path": "x" * 200}] * (1 << 17))
        else:
            entries = listing(repo)
            begin = int(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                        .get("cursor", ["0"])[0])
            here = f"http://127.0.0.1:{self.server.server_port}"
            next_page = f"{here}{path}?recursive=true&cursor={begin + PAGE}"
            elsewhere = fault("elsewhere")
            if elsewhere:
                next_page = elsewhere[0]
            more = begin + PAGE < len(entries)
            self.json(entries[begin:begin + PAGE],
                      [("Link", f'<{next_page}>; rel="next"')] if more else [])

    def json(self, value, headers=()):
        self.answer(200, json.dumps(value).encode(),
                    [("Content-Type", "application/json"), *headers])

    def resolve(self, path):
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        file = FOLDER / "models" / match[1] / match[2] if match else None
        status, to = fault("file-status"), fault("redirect")
        if status:
            self.answer(int(status[0]))
        elif to:
            self.answer(302, headers=[("Location", to[0])])
        elif fault("loop"):
            self.answer(302, headers=[("Location", self.path)])
        elif not file or not file.is_file():
            self.answer(404, headers=[("X-Error-Code", "EntryNotFound")])
        elif file.name.endswith(LARGE):
            e = entry(file, match[2])
            place = f"{self.server.store_url}/{match[1]}/{match[2]}?secret=signature"
            self.answer(302, headers=[("Location", place), ("X-Repo-Commit", COMMIT),
                                      ("ETag", f'"{e["oid"]}"'),
                                      ("X-Linked-Etag", f'"{e["lfs"]["oid"]}"'),
                                      ("X-Linked-Size", str(e["lfs"]["size"]))])
        else:
            data = file.read_bytes()
            self.send(data, [("X-Repo-Commit", COMMIT), ("ETag", f'"{git_sum(data)}"')])

    def store(self, path):
        file = FOLDER / "models" / path.removeprefix("/file").lstrip("/")
        if not file.is_file():
            self.answer(404)
            return
        self.send(file.read_bytes(), [])

    def send(self, data, headers):
        """The bytes asked for, with what is to go wrong with them."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        begin = int(match[1]) if match and not fault("no-range") else 0
        if self.fault_here("flip"):
            data = data[:-1] + bytes([data[-1] ^ 1])
        longer = self.fault_here("longer")
        if longer:
            data += b"x" * int(longer[1])
        part = data[begin:]
        self.send_response(206 if match and not fault("no-range") else 200)
        for name, value in headers:
            self.send_header(name, value)
        if match and not fault("no-range"):
            told = begin + int((fault("shift") or ["0"])[0])
            self.send_header("Content-Range", f"bytes {told}-{len(data) - 1}/{len(data)}")
        if longer or fault("no-length"):
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut, slow = fault("cut"), fault("slow")
        if cut:
            part = part[:int(cut[0])]
        for i in range(0, len(part), 1 << 16):
            self.wfile.write(part[i:i + (1 << 16)])
            if slow:
                self.wfile.flush()
                time.sleep(float(slow[0]))
        if cut or longer or fault("no-length"):
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    is_store = False
    store_url = ""

    def handle_error(self, *arguments):
        pass  # a client that goes away is what is tested


def main():
    store, hub = Server(("127.0.0.1", 0), Hub), Server(("127.0.0.1", 0), Hub)
    store.is_store = True
    hub.store_url = f"http://localhost:{store.server_port}"
    servers = [store, hub]
    if (FOLDER / "tls.pem").exists():
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(FOLDER / "tls.pem")
        tls = Server(("127.0.0.1", 0), Hub)
        tls.socket = secure.wrap_socket(tls.socket, server_side=True,
                                        do_handshake_on_connect=False)
        tls.store_url = hub.store_url
        servers.append(tls)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = [hub, store] + servers[2:]
    (FOLDER / "ports.new").write_text(" ".join(str(s.server_port) for s in ports) + "\n")
    (FOLDER / "ports.new").rename(FOLDER / "ports")
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)


main()
