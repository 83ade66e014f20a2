"""What clients of `runnel serve` written in Python have in common: checks that count, requests to
the server at the port that is the program's first argument, forms and events. Needs nothing but
Python."""
import collections
import http.client
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import websocket  # noqa: E402, F401: for those who talk

PORT = int(sys.argv[1])
Answer = collections.namedtuple("Answer", "status headers body")
failed = []


def check(name, good, seen=""):
    if not good:
        failed.append(name)
        print(f"FAILED: {name}: {str(seen)[:500]}")


def finish():
    """Ends the program: with 1 when a check failed."""
    sys.exit(1 if failed else 0)


def begin(path, body=None, kind="application/json", method=None, headers=None, source=None):
    """The answer's head, whose body is still to be read. body: bytes, or what becomes JSON; POST
    when there is one."""
    c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60, source_address=source)
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    kinds = {"Content-Type": kind} if body is not None else {}
    c.request(method or ("GET" if body is None else "POST"), path, body,
              {**kinds, **(headers or {})})
    return c.getresponse()


def ask(*request, **more):
    """As begin: status, headers with small letters, body."""
    r = begin(*request, **more)
    answer = Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    r.close()
    return answer


def refused(name, status, code, answer):
    """The answer is an error of this kind, with all that belongs to it."""
    try:
        e = json.loads(answer.body)["error"]
        got = answer.status, e["code"]
        assert set(e) == {"message", "type", "param", "code"} and e["message"], e
    except (ValueError, KeyError, AssertionError) as x:
        got = repr(x), answer
    check(name, got == (status, code), got)


def form(file, fields, first=False):
    """A multipart body and its type; file None: none. first: it stands before the fields, as some
    clients have it."""
    edge = b"b0undary"
    texts = [(f'name="{k}"', v.encode()) for k, v in fields]
    files = [('name="file"; filename="../../a.wav"', file)] if file is not None else []
    parts = files + texts if first else texts + files
    body = b"".join(b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
                    % (edge, name.encode(), value) for name, value in parts)
    return body + b"--%s--\r\n" % edge, f"multipart/form-data; boundary={edge.decode()}"


def events(answer):
    """The objects of a stream of events; [DONE] as it is."""
    check("a stream's type", answer.headers.get("content-type") == "text/event-stream", answer)
    blocks = answer.body.decode().split("\n\n")
    check("a stream's form", blocks[-1] == "" and all(b.startswith("data: ") for b in blocks[:-1]),
          blocks)
    return [b[6:] if b == "data: [DONE]" else json.loads(b[6:]) for b in blocks[:-1]]
