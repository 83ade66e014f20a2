# Sourced: clients_python FOLDER sets $clients to a Python with the packages of clients.txt, in a
# virtual environment that is made in FOLDER once and kept; fails, with a line, where PyPI is out of
# reach.
clients_python() {
    local list folder=$1/clients
    list=$(dirname "${BASH_SOURCE[0]}")/clients.txt
    clients=$folder/bin/python
    cmp -s "$list" "$folder/made" && return 0
    (
        flock 9 # two tests may want it at once
        cmp -s "$list" "$folder/made" && exit 0
        rm -rf "$folder"
        python3 -m venv "$folder" > "$1/clients.log" 2>&1 &&
            "$folder/bin/pip" install -q --require-hashes -r "$list" >> "$1/clients.log" 2>&1 &&
            cp "$list" "$folder/made"
    ) 9> "$1/clients.lock" && return 0
    echo "skipped: the packages of tests/support/clients.txt cannot be had from PyPI"
    return 1
}
