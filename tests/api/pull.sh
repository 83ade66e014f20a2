#!/usr/bin/env bash
# runnel pull and models, and -m with a name of the hub, against a small hub on loopback
# (support/hub.py): pull.sh PROGRAM SOURCE. Python's huggingface_hub is met, too: that of the
# interpreter RUNNEL_TEST_HUB_PYTHON (python3), else pip fetches it from PyPI.
. "$(dirname "$0")/common.sh"
pip_home=$HOME pip_proxy=${HTTPS_PROXY:-${https_proxy:-}} # what pip works with
unset HF_HOME HF_HUB_OFFLINE HF_TOKEN_PATH HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME SSL_CERT_FILE
unset http_proxy https_proxy HTTPS_PROXY ALL_PROXY all_proxy NO_PROXY no_proxy
export HOME=$work/home HF_HUB_CACHE=$work/cache HF_TOKEN=sesame
commit=c0ffee0000000000000000000000000000000000
store=$work/cache/models--Org--Set/blobs

# ---- A hub with three models
mkdir -p hub/models/{LiquidAI/Tiny-GGUF,LiquidAI/Tiny,Org/Set,Org/Two,Org/Split,Org/None} home
for name in tiny mmproj-tiny vocoder-tiny tokenizer-tiny; do
    ln -s "$source/tests/data/gguf/$name-F16.gguf" hub/models/LiquidAI/Tiny-GGUF/
done
echo '# A model' > hub/models/LiquidAI/Tiny-GGUF/README.md
cp "$source"/tests/data/tiny/*.json hub/models/LiquidAI/Tiny
cp -r "$source/tests/data/tiny/audio_detokenizer" hub/models/LiquidAI/Tiny
ln -s "$source/tests/data/tiny/model.safetensors" hub/models/LiquidAI/Tiny/
head -c 300000 "$source/tests/data/gguf/tiny-F16.gguf" > hub/models/Org/Set/Set-Q4_0.gguf
head -c 1000 "$source/tests/data/gguf/mmproj-tiny-F16.gguf" > hub/models/Org/Set/mmproj-Set-F16.gguf
cp hub/models/Org/Set/Set-Q4_0.gguf hub/models/Org/Two/Two-Q8_0.gguf
cp hub/models/Org/Set/Set-Q4_0.gguf hub/models/Org/Two/Two-Q6_K.gguf
for i in 1 2 3; do
    tail -c "${i}000" hub/models/Org/Set/Set-Q4_0.gguf \
        > "hub/models/Org/Split/S-Q8_0-0000$i-of-00003.gguf"
done
echo nothing > hub/models/Org/None/README.md
main=$(sha256sum hub/models/Org/Set/Set-Q4_0.gguf | cut -d' ' -f1)
if command -v openssl > /dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -out cert.pem \
        -addext subjectAltName=DNS:localhost -keyout key.pem 2> /dev/null
    cat key.pem cert.pem > hub/tls.pem
fi
python3 "$source/tests/support/hub.py" "$work/hub" &
hub_process=$!
trap 'kill "$hub_process"; chmod -R u+w "$work"; rm -rf "$work"' EXIT
for ((i = 0; i < 300; i++)); do [ -s hub/ports ] && break; sleep 0.1; done
read -r port store_port tls_port < hub/ports || { echo "the hub does not start"; exit 1; }
export HF_ENDPOINT=http://127.0.0.1:$port

pull() { "$runnel" pull "$@"; }
fresh() { rm -rf cache hub/log; touch hub/log; }
fault() { printf '%s\n' "$@" > hub/fault; } # a line each, none: nothing is wrong
asked() { grep -c -- "$1" hub/log; }        # requests with this in their line
same() { check "$1" cmp -s "$2" "$3"; }
here() { echo "cache/models--Org--Set/snapshots/$commit/$1"; }

# ---- The licence comes first
fresh
refuse 2 "no yes" "add --yes" pull LiquidAI/Tiny-GGUF
check "no yes: the limit is named" grep -q "10 million US dollars" err
check "no yes: nothing was made" [ ! -e cache ]
check "no yes: nothing was fetched" [ "$(asked resolve)" -eq 0 ]
printf '{"license":"mit","license_link":"LICENSE"}' > hub/card
refuse 2 "another licence" "add --yes" pull Org/Set
check "another licence: named" grep -q "licence: mit" err
check "another licence: where" grep -q "/Org/Set/blob/main/LICENSE" err
rm hub/card

# ---- A set, a folder: whole, in the layout of the hub's own cache, and usable by name
expect 0 "a set" pull --yes LiquidAI/Tiny-GGUF
check "a set: its path" [ "$(cat out)" = \
    "$work/cache/models--LiquidAI--Tiny-GGUF/snapshots/$commit/tiny-F16.gguf" ]
expect 0 "a folder" pull --yes -q LiquidAI/Tiny@v1
check "a folder: its path" [ "$(cat out)" = \
    "$work/cache/models--LiquidAI--Tiny/snapshots/$commit" ]
cat > layout.py << 'PY'
"""Every rule of the layout, as huggingface_hub has it: layout.py MODEL-FOLDER REVISION"""
import hashlib, os, pathlib, sys
folder, revision = pathlib.Path(sys.argv[1]), sys.argv[2]
commit = (folder / "refs" / revision).read_bytes().decode()
assert len(commit) == 40, commit
linked = set()
for link in (folder / "snapshots" / commit).rglob("*"):
    if link.is_dir():
        continue
    target = os.readlink(link)
    depth = len(link.relative_to(folder).parts) - 1
    assert target.startswith("../" * depth + "blobs/"), target
    data, name = link.read_bytes(), os.path.basename(target)
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    large = link.suffix in (".gguf", ".safetensors")
    assert name == (hashlib.sha256(data).hexdigest() if large else git), link
    linked.add(name)
assert linked == {b.name for b in (folder / "blobs").iterdir()}
print(len(linked))
PY
expect 0 "layout of a set" python3 layout.py cache/models--LiquidAI--Tiny-GGUF main
check "layout of a set: four files" [ "$(cat out)" = 4 ]
expect 0 "layout of a folder" python3 layout.py cache/models--LiquidAI--Tiny v1
check "layout of a folder: seven files" [ "$(cat out)" = 7 ]
check "the token came to the hub" [ "$(asked '"store": false.*Bearer sesame')" -gt 5 ]
check "and to nobody else" [ "$(asked '"store": true.*Bearer')" -eq 0 ]
check "the store was asked" [ "$(asked '"store": true')" -ge 5 ]

for pair in "LiquidAI/Tiny-GGUF $tiny" "LiquidAI/Tiny-GGUF:f16 $tiny" \
    "LiquidAI/Tiny@v1 $source/tests/data/tiny"; do
    read -r name path <<< "$pair"
    expect 0 "info -m $name" "$runnel" info --json -m "$name"
    sed 's/"path":"[^"]*",//; s/"name":"[^"]*",//' out > by_name
    expect 0 "info -m $path" "$runnel" info --json -m "$path"
    sed 's/"path":"[^"]*",//; s/"name":"[^"]*",//' out > by_path
    same "-m $name is -m $path" by_name by_path
done
expect 0 "reply with a name" "$runnel" reply -q --max-tokens 12 -m LiquidAI/Tiny-GGUF "$question" \
    -o name.wav
expect 0 "reply with a path" "$runnel" reply -q --max-tokens 12 -m "$tiny" "$question" -o path.wav
same "the same answer" name.wav path.wav
expect 0 "RUNNEL_MODEL takes a name" env RUNNEL_MODEL=LiquidAI/Tiny-GGUF "$runnel" info
mkdir -p LiquidAI
ln -s "$model" LiquidAI/Tiny-GGUF
expect 0 "a path that exists" "$runnel" info -m LiquidAI/Tiny-GGUF
check "a path that exists wins" [ "$(head -1 out)" = LiquidAI/Tiny-GGUF ]
rm -r LiquidAI
refuse 3 "-m of what is not here" "runnel pull Org/Set:Q8_0" "$runnel" info -m Org/Set:Q8_0
refuse 3 "-m, another quantisation" "runnel pull LiquidAI/Tiny-GGUF:Q4_0" \
    "$runnel" info -m LiquidAI/Tiny-GGUF:Q4_0
refuse 3 "-m, no such file" "no such model" "$runnel" info -m models/none.gguf

# ---- A second time nothing comes but the listing; offline not even that
: > hub/log
expect 0 "again" pull LiquidAI/Tiny-GGUF
check "again: nothing is fetched" [ "$(asked resolve)" -eq 0 ]
: > hub/log
export HF_HUB_OFFLINE=1
expect 0 "offline, in the cache" pull LiquidAI/Tiny-GGUF:F16
holds "offline, in the cache" "tiny-F16.gguf"
refuse 1 "offline, not there" "HF_HUB_OFFLINE" pull --yes Org/Set
check "offline: no request" [ ! -s hub/log ]
unset HF_HUB_OFFLINE

# ---- models
expect 0 "models" "$runnel" models
check "models: the lines" [ "$(awk '{print $3, $4, $5}' out | sort | tr '\n' ';')" = \
    "GGUF set LiquidAI/Tiny-GGUF:F16;folder LiquidAI/Tiny@$commit ;" ]
expect 0 "models --json" "$runnel" models --json
check "models --json" python3 -c '
import json, sys
rows = [json.loads(line) for line in open("out")]
assert sorted(r["kind"] for r in rows) == ["GGUF set", "folder"]
assert all(r["bytes"] > 5e6 and r["files"] in (4, 7) and r["path"] for r in rows)'
refuse 2 "models --remove, no name" "not ORG/NAME" "$runnel" models --remove ..
refuse 1 "models --remove, not there" "not in the cache" "$runnel" models --remove Org/Set
expect 0 "models --remove" "$runnel" models --remove LiquidAI/Tiny
check "models --remove: gone" [ ! -e cache/models--LiquidAI--Tiny ]
check "models --remove: its locks" [ ! -e cache/.locks/models--LiquidAI--Tiny ]
check "models --remove: nothing else" [ -e cache/models--LiquidAI--Tiny-GGUF/refs/main ]

# ---- Which quantisation
refuse 2 "none was named" "Q6_K, Q8_0" pull --yes Org/Two
refuse 2 "not there" "no Q2_K of it; there are Q6_K, Q8_0" pull --yes Org/Two:Q2_K
refuse 3 "no model" "no model in it" pull --yes Org/None
refuse 1 "no such model" "no such model" pull --yes Org/Nowhere
refuse 1 "no such revision" "no such model" pull --yes Org/Set@v9
for name in Org Org/Set/x ../Set "Org/Set:" "Org/Set@.." http:/x ftp://a/b http://example.com/x; do
    refuse 2 "a name that is none: $name" "ORG/NAME\|address" pull --yes "$name"
done
refuse 2 "no name" "name one model" pull
refuse 2 "-o of a model" "HF_HUB_CACHE" pull --yes Org/Set -o here
expect 0 "two quantisations of the same bytes" pull --yes -q Org/Two:q6_k
expect 0 "two quantisations of the same bytes" pull -q Org/Two:Q8_0
expect 0 "a split file" pull --yes -q Org/Split
holds "a split file: the first" "S-Q8_0-00001-of-00003.gguf"
check "a split file: all parts" [ "$(find cache/models--Org--Split/blobs -type f | wc -l)" -eq 3 ]
mv hub/models/Org/Split/S-Q8_0-00002-of-00003.gguf .
refuse 3 "a split file with a hole" "a part of its split" pull Org/Split
check "one blob" [ "$(find cache/models--Org--Two/blobs -type f | wc -l)" -eq 1 ]

# ---- The hub is a stranger. bad CODE NAME PATTERN FAULT...: pull ends in one sentence, its secret
# in none; then all is well, and it comes whole.
bad() {
    local code=$1 name=$2 pattern=$3
    shift 3
    fault "$@"
    refuse "$code" "$name" "$pattern" pull --yes Org/Set
    check "$name: no secret is told" [ "$(cat out err | grep -c 'sesame\|signature')" -eq 0 ]
    check "$name: no model" [ ! -e "$(here Set-Q4_0.gguf)" ]
    fault
}
well() { # well NAME: after a fault the same command brings the model
    expect 0 "$1: then it goes on" pull -q Org/Set
    same "$1: whole" "$(here Set-Q4_0.gguf)" hub/models/Org/Set/Set-Q4_0.gguf
    check "$1: nothing is left over" [ -z "$(find cache -name '*.incomplete')" ]
}
long=$(printf 'x%.0s' {1..256})
for words in '../../evil' '/etc/evil' 'a/../../evil' 'a\u001b[2Jb' 'a//b' "$long"; do
    fresh
    bad 1 "a name in the listing: ${words:0:20}" "listing cannot be used" "list $words"
    check "a name in the listing: nothing was made" [ ! -e cache ]
done
fresh
bad 1 "a listing that floods" "16 MiB" flood
bad 1 "a listing that leads away" "another host" "elsewhere http://127.0.0.1:$store_port/x" \
    "list q" # a third entry: there is a second page
check "a listing that leads away: not followed" [ "$(asked '"store": true')" -eq 0 ]
bad 1 "401" "accept its terms at $HF_ENDPOINT/Org/Set and set HF_TOKEN" "status 401"
bad 1 "403" "refuses access (403)" "status 403"
bad 1 "404" "no such model" "status 404"
bad 1 "429, how long" "again in 30 s" "status 429 30"
bad 1 "429" "in some minutes" "status 429"
bad 1 "503" "status 503" "status 503"
check "so far nothing was made" [ ! -e cache ]
bad 1 "file: 403" "Set.*refuses access" "file-status 403"
bad 1 "file: 429" "too many requests" "file-status 429"
for to in file:///etc/passwd ftp://127.0.0.1/x http://example.com/x http://u:p@127.0.0.1/x gopher:x
do
    bad 1 "redirect to $to" "leads to.*that\|nothing was fetched from there" "redirect $to"
done
bad 1 "redirects without end" "one redirect too many" loop
check "redirects without end: six requests a file" [ "$(asked resolve.*Set-Q4_0)" -le 20 ]
: > hub/log
bad 1 "redirect to another host" "no such model" "redirect http://localhost:$store_port/x"
check "redirect to another host: asked" [ "$(asked '"store": true.*"path": "/x"')" -gt 0 ]
check "redirect to another host: without the token" [ "$(asked '"store": true.*sesame')" -eq 0 ]
: > hub/log
fault "redirect http://localhost:$store_port/Org/Set/Set-Q4_0.gguf"
expect 1 "redirect to the bytes of another file" pull --yes Org/Set
fresh
bad 1 "a wrong byte" "SHA-256 is not that" "flip Set-Q4"
check "a wrong byte: it goes" [ -z "$(find "$store" -name "$main*")" ]
well "a wrong byte"
fresh
bad 1 "cut" "broke off" "cut 100000"
check "cut: what came is kept" [ "$(stat -c %s "$store/$main.incomplete")" -eq 100000 ]
expect 0 "models, unfinished" "$runnel" models
holds "models, unfinished" "10[01].0 kB  unfinished  Org/Set"
: > hub/log
well "cut"
check "cut: only the rest was fetched" [ "$(asked '"store": true.*"bytes=100000-"')" -eq 1 ]
fresh
bad 1 "cut, then no range" "broke off" "cut 100000"
fault no-range
well "cut, then no range"
fresh
bad 1 "cut, then another range" "broke off" "cut 100000"
bad 1 "cut, then another range" "another part" "shift 7"
well "cut, then another range"
fresh
bad 1 "cut without a length" "broke off" "cut 100000" no-length
well "cut without a length"
fresh
bad 1 "too long, and it says so" "another size" "size -10"
well "too long, and it says so"
fresh
bad 1 "too long" "more bytes came" "longer Set-Q4 4000000"
check "too long: it goes" [ -z "$(find "$store" -name "$main*")" ]
well "too long"
fresh
bad 1 "too short" "another size" "size 10"
bad 1 "too short, and it does not say so" "broke off" "size 10" no-length
fresh
fault no-length
expect 0 "no length" pull --yes -q Org/Set
well "no length"
fault
fresh
fault "flip tokenizer.json"
refuse 1 "a wrong byte in a small file" "SHA-1" pull --yes LiquidAI/Tiny
fault
fresh
fault "secret open"
refuse 1 "a wrong token" "not open to your token" pull --yes Org/Set
mkdir -p home/.cache/huggingface
echo " open" > home/.cache/huggingface/token
expect 0 "the token of the file" env -u HF_TOKEN "$runnel" pull --yes -q Org/Set
fault
refuse 2 "HF_TOKEN that is none" "HF_TOKEN" env HF_TOKEN=$'a\r\nb: c' "$runnel" pull Org/Set
refuse 2 "HF_ENDPOINT that is none" "HF_ENDPOINT" env HF_ENDPOINT=http://example.com \
    "$runnel" pull Org/Set
refuse 1 "nobody there" "cannot be reached" env HF_ENDPOINT=http://127.0.0.1:1 \
    "$runnel" pull Org/Set

# ---- Links in the cache are not followed
fresh
mkdir -p "$store" other
echo mine > mine
ln -s "$work/mine" "$store/$main"
refuse 1 "a link in the place of a blob" "not followed" pull --yes Org/Set
rm "$store/$main"
ln -s "$work/mine" "$store/$main.incomplete"
refuse 1 "a link in the place of what comes" "is a link" pull --yes Org/Set
rm "$store/$main.incomplete"
ln mine "$store/$main.incomplete"
refuse 1 "a hard link" "is a link" pull --yes Org/Set
check "what is linked stays" [ "$(cat mine)" = mine ]
for folder in cache/models--Org--Set/blobs cache/models--Org--Set/snapshots \
    cache/models--Org--Set/refs cache/models--Org--Set cache/.locks; do
    fresh
    mkdir -p "${folder%/*}"
    ln -s "$work/other" "$folder"
    refuse 1 "a link: $folder" "cannot be written" pull --yes Org/Set
    check "a link: $folder: nothing behind it" [ -z "$(ls other)" ]
done
fresh
expect 0 "models --remove and links" pull --yes -q Org/Set
ln -s "$work/other" cache/models--Org--Set/more
touch other/kept
expect 0 "models --remove and links" "$runnel" models -q --remove Org/Set
check "models --remove and links: the target stays" [ -e other/kept ]
rm other/kept

# ---- A full disk
fresh
(ulimit -f 100; trap '' XFSZ; pull --yes Org/Set > out 2> err)
check "a full disk: one sentence" [ "$(grep -c '^runnel: .*make room' err)" -eq 1 ]
well "a full disk"
fresh
mkdir cache
if unshare -rm true 2> /dev/null; then
    refuse 1 "no room" "no room: .* are still to come" unshare -rm bash -c \
        'mount -t tmpfs -o size=200k none cache && exec "$@"' _ "$runnel" pull --yes Org/Set
else
    echo "left out: no file system of our own can be mounted here"
fi

# ---- Stopped, and two at once
stop_at() { # stop_at SIGNAL: a slow pull is stopped when something has come
    "$runnel" pull --yes Org/Set > out 2> err &
    local process=$!
    for ((i = 0; i < 200; i++)); do
        [ "$(stat -c %s "$store/$main.incomplete" 2> /dev/null || echo 0)" -gt 0 ] && break
        sleep 0.05
    done
    kill "-$1" "$process"
    got=0
    wait "$process" 2> /dev/null || got=$?
}
for pair in "INT 130" "KILL 137"; do
    read -r signal code <<< "$pair"
    fresh
    fault "slow 0.2"
    stop_at "$signal"
    check "$signal: exit code $got" [ "$got" -eq "$code" ]
    fault
    : > hub/log
    well "$signal"
    check "$signal: it goes on" [ "$(asked '"store": true.*"range": "bytes=')" -eq 1 ]
done
fresh
fault "slow 0.2"
"$runnel" pull --yes -q Org/Set > first 2>&1 &
first=$!
for ((i = 0; i < 200; i++)); do [ -e "$store/$main.incomplete" ] && break; sleep 0.05; done
refuse 1 "models --remove of what comes" "being fetched" "$runnel" models --remove Org/Set
expect 0 "a second pull" pull --yes Org/Set
check "a second pull waits" grep -q "waiting" err
check "the first pull" wait "$first"
check "it came once" [ "$(asked '"store": true.*Set-Q4_0')" -eq 1 ]
fault
well "two at once"

# ---- Ways there: proxies, TLS
expect 1 "a proxy" env HF_ENDPOINT=https://hub.invalid HTTPS_PROXY="http://127.0.0.1:$port" \
    "$runnel" pull --yes Org/Set
check "a proxy: asked for the way" [ "$(asked '"CONNECT", "path": "hub.invalid:443"')" -ge 1 ]
check "a proxy: without the token" [ "$(asked 'CONNECT.*sesame')" -eq 0 ]
expect 0 "no proxy to this machine" env http_proxy=http://127.0.0.1:1 "$runnel" pull -q Org/Set
if [ -n "${tls_port:-}" ]; then
    fresh
    export HF_ENDPOINT=https://localhost:$tls_port
    refuse 1 "an unknown certificate" "cannot be reached: .*certificate" pull --yes Org/Set
    check "an unknown certificate: nothing is told" [ "$(asked sesame)" -eq 0 ]
    refuse 1 "from https to http" "leads from the hub to this machine" \
        env SSL_CERT_FILE="$work/cert.pem" "$runnel" pull --yes Org/Set
    check "from https to http: not gone" [ "$(asked '"store": true')" -eq 0 ]
    expect 1 "another name" env SSL_CERT_FILE="$work/cert.pem" \
        HF_ENDPOINT="https://127.0.0.1:$tls_port" "$runnel" pull --yes Org/Set
    export HF_ENDPOINT=http://127.0.0.1:$port
else
    echo "left out: TLS, as there is no openssl to make a certificate"
fi

# ---- Addresses of files
fresh
address=$HF_ENDPOINT/file/Org/Set/Set-Q4_0.gguf
refuse 2 "an address, no yes" "add --yes" pull "$address"
fault "cut 1000" no-range
expect 1 "an address, cut" pull --yes "$address" -o mine.gguf
check "an address, cut: no file" [ ! -e mine.gguf ]
fault
expect 0 "an address" pull --yes "$address" -o mine.gguf
same "an address: the file" mine.gguf hub/models/Org/Set/Set-Q4_0.gguf
check "an address: its sum" grep -q "SHA-256 $main" err
check "an address: no token" [ "$(asked '/file/.*sesame')" -eq 0 ]
refuse 1 "an address, there already" "there already" pull --yes "$address" -o mine.gguf
expect 0 "an address, its name" pull --yes -q "$address?x=1"
same "an address, its name" Set-Q4_0.gguf mine.gguf
refuse 2 "an address without a name" "add -o" pull --yes "$HF_ENDPOINT/"
check "addresses leave nothing" [ -z "$(find . -name '*.incomplete')" ]
expect 0 "an address of the hub" pull --yes -q "$HF_ENDPOINT/Org/Set/blob/main/mmproj-Set-F16.gguf"
check "an address of the hub: its path" [ "$(cat out)" = "$work/$(here mmproj-Set-F16.gguf)" ]
refuse 1 "no such file at the hub" "no file none.gguf" \
    pull "$HF_ENDPOINT/Org/Set/resolve/main/none.gguf"

# ---- A terminal is asked, and sees one bar
cat > screen.py << 'PY'
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen = b""
try:
    while part := os.read(terminal, 4096):
        seen += part
        if seen.endswith(b"[y/N] "):
            os.write(terminal, sys.argv[1].encode() + b"\n")
except OSError:
    pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PY
fresh
expect 1 "a terminal says no" python3 screen.py n "$runnel" pull Org/Set
check "a terminal says no: nothing was made" [ ! -e cache ]
fault "slow 0.1"
expect 0 "a terminal says yes" python3 screen.py y env NO_COLOR=1 "$runnel" pull Org/Set
check "a terminal sees a bar" grep -q 'pulling \[.*%.* of 301.0 kB, .*file' out
check "NO_COLOR" [ "$(grep -c $'\033\\[[0-9;]*m' out)" -eq 0 ]
fault

# ---- Python's own package, both ways
python=${RUNNEL_TEST_HUB_PYTHON:-python3} why="PyPI is out of reach"
if [ -n "${RUNNEL_TEST_SHORT:-}" ]; then
    why="short loops; the program is met without sanitizers"
elif ! "$python" -c 'import huggingface_hub' 2> /dev/null; then
    "$python" -m venv --without-pip room &&
        env HOME="$pip_home" HTTPS_PROXY="$pip_proxy" "$python" -m pip --python room/bin/python \
            install -q --no-compile --retries 1 --timeout 20 huggingface_hub > pip.log 2>&1 &&
        python=$work/room/bin/python
fi
if "$python" -c 'import huggingface_hub' 2> /dev/null; then
    export HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1
    download() { # download CACHE REPO [ARGUMENT]
        HF_HUB_CACHE=$1 "$python" -c 'import sys, huggingface_hub as h
print(h.snapshot_download(sys.argv[1], **eval(sys.argv[2])))' "$2" "${3:-{\}}"
    }
    tree() { (cd "$1" && find blobs refs snapshots -printf '%y %p %l %s\n' | grep -v '^d' | sort); }
    for repo in LiquidAI/Tiny-GGUF LiquidAI/Tiny; do
        folder=models--${repo/\//--}
        fresh
        expect 0 "Python fetches $repo" download "$work/python" "$repo" \
            '{"ignore_patterns": "*.md"}'
        expect 0 "we fetch $repo" pull --yes -q "$repo"
        tree "cache/$folder" > ours
        tree "python/$folder" > theirs
        same "$repo: the same tree" ours theirs
        check "$repo: it is not empty" [ "$(wc -l < ours)" -ge 9 ]
        expect 0 "Python finds ours" download "$work/cache" "$repo" '{"local_files_only": True}'
        check "Python finds ours: where" [ "$(cat out)" = "$work/cache/$folder/snapshots/$commit" ]
        : > hub/log
        expect 0 "we find Python's" env HF_HUB_CACHE="$work/python" "$runnel" pull "$repo"
        check "we find Python's: nothing is fetched" [ "$(asked resolve)" -eq 0 ]
        expect 0 "we use Python's" env HF_HUB_CACHE="$work/python" "$runnel" info -m "$repo"
    done
else
    echo "left out: Python's huggingface_hub, for $python has none, and: $why"
fi
summary
