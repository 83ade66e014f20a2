#!/usr/bin/env python3
"""HTTP clients of `runnel serve`: serve_http.py PORT open|keys|reloaded. Ends with 1 when an answer
is not what it should be. Needs nothing but Python."""
import http.client
import json
import socket
import sys
import threading
import time

from serving import PORT, ask, check, finish, refused, websocket

HOST = f"Host: 127.0.0.1:{PORT}\r\n"
KEY = "0123456789abcdef"


def send(*pieces, wait=15, pause=0):
    """What comes back on a connection of its own until it is closed, or the first piece of it."""
    s = socket.create_connection(("127.0.0.1", PORT), 5)
    s.settimeout(wait)
    try:
        for p in pieces:
            s.sendall(p if isinstance(p, bytes) else p.encode())
            time.sleep(pause)
        return s.recv(65536)
    except OSError as x:
        return type(x).__name__.encode()
    finally:
        s.close()


def slow():
    """Those who take their time are closed; runs beside the rest."""
    def one(name, *pieces):
        begin = time.monotonic()
        answer = send(*pieces, wait=20)
        took = time.monotonic() - begin
        check(name, took < 13 and answer in (b"", b"ConnectionResetError"), (took, answer))
    clients = [("a slow head", "GET /health HTTP/1.1\r\n"),
               ("a slow body", f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}Content-Type: "
                               "application/json\r\nContent-Length: 100\r\n\r\n{")]
    threads = [threading.Thread(target=one, args=c) for c in clients]
    for t in threads:
        t.start()
    return threads


def health_and_models():
    for path, status in (("/health/live", "live"), ("/health/ready", "ready"),
                         ("/health", "ready")):
        answer = ask(path)
        check(path, answer[0] == 200 and json.loads(answer[2]) == {"status": status}, answer)
        check(f"{path}: id", answer[1]["x-request-id"].startswith("req_"), answer)
    answer = ask("/health", method="HEAD")
    check("HEAD", answer[0] == 200 and answer[2] == b"" and answer[1]["content-length"] != "0")
    answer = ask("/v1/models")
    models = json.loads(answer[2])
    check("models", models["object"] == "list" and len(models["data"]) == 1, models)
    name = models["data"][0]["id"]
    check("model", json.loads(ask(f"/v1/models/{name}")[2]) == models["data"][0])
    refused("another model", 404, "model_not_found", ask("/v1/models/none"))
    refused("unknown", 404, "unknown_url", ask("/v1/files"))
    refused("instead", 404, "unknown_url", ask("/v1/responses", {}))
    check("instead: says so", b"/v1/chat/completions" in ask("/v1/responses", {})[2])
    answer = ask("/v1/models", method="DELETE")
    refused("method", 405, "method_not_allowed", answer)
    check("method: allowed", answer[1].get("allow") == "GET, HEAD", answer)


def names():
    evil = {"Host": "evil.example"}
    refused("Host", 403, "host_not_allowed", ask("/v1/models", headers=evil))
    check("Host: health", ask("/health", headers=evil)[0] == 200)
    check("Host: localhost", ask("/v1/models", headers={"Host": "LOCALHOST:9"})[0] == 200)
    check("Host: none", b" 403 " in send("GET /v1/models HTTP/1.0\r\n\r\n"))
    check("Host: two", b" 403 " in send(f"GET /v1/models HTTP/1.1\r\n{HOST}Host: evil\r\n\r\n"))
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{PORT}"):
        refused(f"Origin {origin}", 403, "origin_not_allowed",
                ask("/v1/models", headers={"Origin": origin}))
    answer = ask("/v1/models", headers={"Origin": f"http://127.0.0.1:{PORT}"})
    check("Origin: ours", answer[0] == 200 and "access-control-allow-origin" not in answer[1])
    page = {"Origin": "https://page.example"}
    answer = ask("/v1/models", headers=page)
    check("Origin: listed", answer[1].get("access-control-allow-origin") == page["Origin"], answer)
    answer = ask("/v1/chat/completions", method="OPTIONS",
                 headers={**page, "Access-Control-Request-Method": "POST"})
    check("preflight", answer[0] == 204 and "x-stainless-os" in
          answer[1]["access-control-allow-headers"], answer)
    refused("preflight of a stranger", 403, "origin_not_allowed",
            ask("/v1/chat/completions", method="OPTIONS",
                headers={"Origin": "https://evil.example"}))


def bodies():
    chat = f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}"
    json_of = chat + "Content-Type: application/json\r\n"
    for name, status, request in (
            ("chunks", 411, f"{json_of}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"),
            ("no length", 411, f"{json_of}\r\n"),
            ("a length and chunks", 411, f"{json_of}Content-Length: 2\r\nTransfer-Encoding: chunked"
             "\r\n\r\n0\r\n\r\n"),
            ("two lengths", 400, f"{json_of}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
            ("length below 0", 400, f"{json_of}Content-Length: -1\r\n\r\n"),
            ("1 GB", 413, f"{json_of}Content-Length: 1000000000\r\n\r\n"),
            ("kind of body", 415, f"{chat}Content-Type: text/xml\r\nContent-Length: 2\r\n\r\n{{}}"),
            ("path with dots", 404, f"GET /../../etc/passwd HTTP/1.1\r\n{HOST}\r\n")):
        answer = send(request)
        check(name, f" {status} ".encode() in answer, answer)
    check("a long head", send(f"GET /health HTTP/1.1\r\n{HOST}X: {'a' * 65536}\r\n\r\n") in
          (b"", b"ConnectionResetError"))
    begin = time.monotonic()
    answer = send(f"{json_of}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    check("100-continue", b" 100 " in answer and time.monotonic() - begin < 1, answer)
    # A body that nobody wants is passed over, and the connection goes on.
    c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    for path, want in (("/v1/files", 404), ("/health", 200)):
        c.request("POST" if want == 404 else "GET", path, b"x" * 3000000 if want == 404 else None)
        r = c.getresponse()
        check(f"kept: {path}", (r.status, len(r.read()) > 0) == (want, True), r.status)
    c.close()


def behind():
    """Requests behind each other on one connection; who does not wait for an answer is closed."""
    body = json.dumps({"model": "m", "voice": "alloy", "input": "hello", "response_format": "pcm"})
    request = (f"POST /v1/audio/speech HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}")
    c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    sizes = set()
    for _ in range(4):
        c.request("POST", "/v1/audio/speech", body, {"Content-Type": "application/json"})
        sizes.add(len(c.getresponse().read()))
    check("four on a connection", len(sizes) == 1 and 0 not in sizes, sizes)
    c.close()
    for rest in (request, "GET /health HTTP/1.1\r\n", "x" * 70000):
        check("behind a body", send(request + rest) in (b"", b"ConnectionResetError"))
        begin = time.monotonic()
        check("behind a body: the others", ask("/health")[0] == 200)
        check("behind a body: at once", time.monotonic() - begin < 2)


def crowd():
    """64 connections of an address, not more; others are not kept out."""
    kept = []
    for _ in range(80):
        kept.append(socket.create_connection(("127.0.0.1", PORT), 5, ("127.0.0.3", 0)))
    time.sleep(0.3)
    closed = 0
    for s in kept:
        s.settimeout(0.01)
        try:
            closed += s.recv(1) == b""
        except socket.timeout:
            pass
        except OSError:
            closed += 1
    check("80 connections", closed == 16, closed)
    check("beside them", ask("/health")[0] == 200)
    for s in kept:
        s.close()


def keys():
    bearer = {"Authorization": f"Bearer {KEY}"}
    answer = ask("/v1/models")
    refused("no key", 401, "invalid_api_key", answer)
    check("no key: how", answer[1].get("www-authenticate") == "Bearer", answer)
    check("health needs none", ask("/health")[0] == 200)
    check("a key", ask("/v1/models", headers=bearer)[0] == 200)
    check("the other", ask("/v1/models", headers={"api-key": "fedcba9876543210"})[0] == 200)
    wrong = {"Authorization": f"Bearer {KEY[:-1]}"}
    refused("a prefix", 401, "invalid_api_key", ask("/v1/models", headers=wrong))
    head = websocket.Socket(PORT, headers=f"Authorization: Bearer {KEY[:-1]}\r\n").head
    check("a WebSocket with a prefix", b" 401 " in head, head)
    check("a head that is none", b" 400 " in send(f"POST /v1/chat/completions HTTP/1.1\r\n{HOST}"
                                                  "Content-Length: 2\r\nContent-Length: 3\r\n\r\n"))
    page = ask("/metrics", headers=bearer).body.decode()
    for path, code in (("/v1/realtime", 401), ("other", 400)):
        check(f"counted: {path} {code}",
              f'runnel_http_requests_total{{path="{path}",code="{code}"}}' in page, page)
    for _ in range(10):
        answer = ask("/v1/models", headers=wrong, source=("127.0.0.2", 0))
        refused("wrong", 401, "invalid_api_key", answer)
    answer = ask("/v1/models", headers=bearer, source=("127.0.0.2", 0))
    refused("guessed too often", 429, "rate_limit_exceeded", answer)
    check("guessed too often: until", int(answer[1]["retry-after"]) > 0, answer)
    for _ in range(20):  # an address that gave a right one is not shut out
        ask("/v1/models", headers=wrong)
    check("still here", ask("/v1/models", headers=bearer)[0] == 200)


def reloaded():
    for _ in range(50):
        if ask("/v1/models", headers={"api-key": "another-key-of-ours"})[0] == 200:
            break
        time.sleep(0.1)
    else:
        check("the new key", False)
    check("the old one", ask("/v1/models", headers={"api-key": KEY})[0] == 401)


if sys.argv[2] == "open":
    waiting = slow()
    health_and_models()
    names()
    bodies()
    behind()
    crowd()
    for thread in waiting:
        thread.join()
elif sys.argv[2] == "keys":
    keys()
else:
    reloaded()
finish()
