#!/usr/bin/env python3
"""A server of `runnel serve` with TLS, whose files change: serve_tls.py PORT PID FOLDER DATA.
FOLDER has cert.pem and key.pem, which it reads, and tls.err, where it complains; DATA the pairs
tls-first and tls-second. Ends with 1 when something is not as it should be."""
import http.client
import os
import shutil
import signal
import ssl
import sys
import time

from serving import PORT, check, finish

PID, FOLDER, DATA = int(sys.argv[2]), sys.argv[3], sys.argv[4]


def der(name):
    return ssl.PEM_cert_to_DER_cert(open(f"{DATA}/{name}.pem").read())


def connect():
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    c = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=20, context=trust)
    c.connect()
    return c


def answers(c):
    c.request("GET", "/health/live")
    r = c.getresponse()
    return (r.status, r.read()) == (200, b'{"status":"live"}')


def shown():
    c = connect()
    try:
        return c.sock.getpeercert(True)
    finally:
        c.close()


def put(cert, key):
    for source, target in ((cert, "cert.pem"), (key, "key.pem")):
        shutil.copy(f"{DATA}/{source}", f"{FOLDER}/{target}.new")
        os.rename(f"{FOLDER}/{target}.new", f"{FOLDER}/{target}")
    os.kill(PID, signal.SIGHUP)


def told():
    return open(f"{FOLDER}/tls.err").read()


def becomes(what, wanted):
    """Whether it comes to that, with a little patience."""
    for _ in range(100):
        if what() == wanted:
            return True
        time.sleep(0.05)
    return False


old = connect()
check("the first", old.sock.getpeercert(True) == der("tls-first") and answers(old))
put("tls-second.pem", "tls-second.key")
check("the second", becomes(shown, der("tls-second")))
check("who was there stays", answers(old) and old.sock.getpeercert(True) == der("tls-first"))
check("no complaint", "runnel: " not in told(), told())
put("tls-first.pem", "tls-second.key")
check("no pair: told", becomes(lambda: "is not the key of" in told(), True), told())
check("no pair: the second stays", shown() == der("tls-second") and answers(connect()))
put("tls-first.key", "tls-first.key")
check("no certificate: told", becomes(lambda: "none in PEM" in told(), True), told())
check("no certificate: the second stays", shown() == der("tls-second") and answers(old))
put("tls-first.pem", "tls-first.key")
check("the first again", becomes(shown, der("tls-first")) and answers(old))
finish()
