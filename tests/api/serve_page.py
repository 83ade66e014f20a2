#!/usr/bin/env python3
"""The page and the metrics of `runnel serve`: serve_page.py PORT open|keys. Ends with 1 when
something is not as it should be. Needs nothing but Python."""
import hashlib
import pathlib
import re
import sys

from serving import ask, check, finish

MODE = sys.argv[2]
PAGE = pathlib.Path(__file__).parents[2] / "serve/page"


def page():
    for path, name, kind in (("/", "index.html", "text/html"), ("/app.js", "app.js",
                             "text/javascript"), ("/style.css", "style.css", "text/css"),
                             ("/capture.js", "capture.js", "text/javascript"),
                             ("/play.js", "play.js", "text/javascript")):
        status, headers, body = ask(path)
        check(path, status == 200 and body == (PAGE / name).read_bytes(), status)
        check(f"type of {path}", headers["content-type"].split(";")[0] == kind, headers)
        etag = headers.get("etag", "")
        check(f"etag of {path}", etag == f'"{hashlib.sha256(body).hexdigest()}"', etag)
        check(f"policy of {path}", "default-src 'none'" in headers["content-security-policy"]
              and headers["x-content-type-options"] == "nosniff", headers)
        status, again, body = ask(path, headers={"If-None-Match": etag})
        check(f"{path} again", status == 304 and not body and again.get("etag") == etag, status)
        status, head, body = ask(path, method="HEAD")
        check(f"HEAD {path}", status == 200 and not body and head["etag"] == etag, status)
    for path in ("/index.html", "/page.c", "/..%2fpage.c", "/page/app.js"):
        status = ask(path)[0]
        check(f"{path} is not there", status == 404, status)
    check("no other Host", ask("/", headers={"Host": "evil.example"})[0] == 403)


def metrics():
    key = {"Authorization": "Bearer 0123456789abcdef"} if MODE == "keys" else {}
    if MODE == "keys":
        check("metrics need a key", ask("/metrics")[0] == 401)
    status, headers, body = ask("/metrics", headers=key)
    check("metrics", status == 200
          and headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8", headers)
    text = body.decode()
    for line in text.splitlines():
        good = re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[^}]*\})? [-+0-9.e]+", line)
        check("a line of metrics", good, line)
    if MODE == "open":  # behind the answers of serve_rest.py
        for counted in ("sessions_admitted_total", "pass_seconds_count", "batch_rows_count",
                        "prefill_positions_total", "text_positions_total", "frames_total"):
            check(counted, re.search(f"^runnel_{counted} [1-9]", text, re.M), "nothing")
    for wanted in (r"runnel_build_info\{version=\"[^\"]+\",kernels=\"[^\"]+\",model=\"minnow\"\} 1",
                   r"runnel_sessions_max [1-9]", r"process_resident_memory_bytes [1-9]",
                   r"process_open_fds [1-9]", r"runnel_memory_bytes\{kind=\"model\"\} [1-9]",
                   r"runnel_http_requests_total\{path=\"/\*\",code=\"304\"\} 4"):
        check(wanted, re.search("^" + wanted, text, re.M), "not there")


page()
metrics()
finish()
