# Sourced: onnxruntime_files FOLDER NAME unpacks what tests/support/NAME.txt lists into
# FOLDER/NAME, once, and sets $files to it; fails, with a line, where PyPI is out of reach or has
# nothing for this machine. Nothing of it is run by Python: only the libraries in it are wanted.
onnxruntime_files() {
    local list
    files=$1/$2
    list=$(dirname "${BASH_SOURCE[0]}")/$2.txt
    cmp -s "$list" "$files/made" && return 0
    (
        flock 9 # two tests may want it at once
        cmp -s "$list" "$files/made" && exit 0
        rm -rf "$files" "$1/$2.pip"
        python3 -m venv "$1/$2.pip" > "$1/$2.log" 2>&1 &&
            "$1/$2.pip/bin/pip" install -q --require-hashes --no-deps --target "$files" -r "$list" \
                >> "$1/$2.log" 2>&1 &&
            cp "$list" "$files/made"
        made=$?
        rm -rf "$1/$2.pip"
        exit "$made"
    ) 9> "$1/$2.lock" && return 0
    echo "skipped: what tests/support/$2.txt lists cannot be had from PyPI for this machine"
    return 1
}
