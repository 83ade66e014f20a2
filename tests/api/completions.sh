#!/usr/bin/env bash
# What shells complete after `runnel`, against --help: completions.sh PROGRAM SOURCE.
. "$(dirname "$0")/common.sh"

for shell in bash zsh fish; do
    expect 0 "$shell" "$runnel" completions $shell
    check "$shell: nothing else is said" [ ! -s err ]
    cp out "script.$shell"
    if command -v $shell > /dev/null; then
        check "$shell reads it" $shell -n "script.$shell"
    else
        echo "skipped: whether $shell reads it, which is not installed"
    fi
done
refuse 2 "no shell" "bash, zsh or fish" "$runnel" completions
refuse 2 "two shells" "bash, zsh or fish" "$runnel" completions bash zsh
refuse 2 "a shell that is none" "'tcsh' is none" "$runnel" completions tcsh

. ./script.bash
declare -A offered
# complete_word WORD...: what bash offers for the last word of the line; it goes to `offered`.
complete_word() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    offered=()
    _runnel
    local word
    for word in "${COMPREPLY[@]}"; do offered[$word]=1; done
}
offers() { [ -n "${offered[$1]:-}" ]; }

complete_word runnel ""
for command in $("$runnel" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    check "command $command" offers "$command"
done
complete_word runnel tra
check "three begin with tra" [ "${#offered[@]}" -eq 3 ]

for command in $("$runnel" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    "$runnel" "$command" --help |
        sed -n 's/^ *\(\(-.\), \)\? *\(--[a-z0-9-]*\).*/\2 \3/p' | sort -u > told
    complete_word runnel "$command" -
    for option in $(cat told); do check "$command: $option" offers "$option"; done
    check "$command: as many as --help tells" [ "${#offered[@]}" -eq "$(wc -w < told)" ]
    for option in $(grep -o -- '--.*' told); do
        check "fish, $command: $option" \
            grep -q -- "\($command' \| \)-l ${option#--} " script.fish
        check "zsh, $command: $option" \
            grep -q -- "$option[=[}]" <(sed -n "/^    $command)/,/;;/p" script.zsh)
    done
done

complete_word runnel reply --max-
check "only what begins so" [ "${#offered[@]}" -eq 2 ]
complete_word runnel reply --threads -
check "a number is nothing that could be offered" [ "${#offered[@]}" -eq 0 ]
complete_word runnel reply -m -
check "a name of a file is left to bash" [ "${#offered[@]}" -eq 0 ]
complete_word runnel completions ""
check "the shells" [ "${#offered[@]}" -eq 3 ]

summary
