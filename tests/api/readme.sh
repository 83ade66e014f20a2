#!/usr/bin/env bash
# What README promises is there: readme.sh PROGRAM SOURCE. Every command it names with every option
# it gives to that command, every file it leads to, what the spoken answers say.
. "$(dirname "$0")/common.sh"
page=$source/README.md

# A line or a piece of one between backquotes; a command ends where its explanation begins.
grep -o '`runnel [^`]*`\|^runnel .*' "$page" | tr -d '`' | sed 's/   .*//' |
    grep -v '^runnel COMMAND' | sort -u > lines
check "README gives commands" [ "$(wc -l < lines)" -ge 20 ]
while read -r line; do
    command=$(cut -d ' ' -f 2 <<< "$line")
    expect 0 "README: $line" "$runnel" "$command" --help
    for option in $(grep -o -- ' --\?[a-z][a-z-]*' <<< "$line"); do
        check "README: $line: $option" grep -q -- "^ .*$option\b" out
    done
done < lines

grep -o '](\([^)#]*\)' "$page" | cut -c 3- | grep -v '^https\?:' | sort -u > links
grep -o '`[a-z]*/[A-Za-z_/.0-9-]*`' "$page" | tr -d '`' | sort -u >> links
check "README leads somewhere" [ "$(wc -l < links)" -ge 12 ]
while read -r link; do
    case $link in "" | build/*) continue ;; esac
    check "README: $link" [ -e "$source/$link" ]
done < links

for name in light weather who; do
    answer=$source/samples/spoken/$name.opus
    check "spoken: $name.opus is small" [ "$(stat -c %s "$answer")" -lt 20000 ]
    expect 0 "spoken: $name" "$runnel" reply -q "$source/samples/questions/$name.wav" -o a.opus
    said=$(tr -d '\n' < out)
    told=$(sed -n "s/.*\[\(.*\)\]($name\.opus).*/\1/p" "$source/samples/spoken/README.md")
    check "spoken: $name: '$said', not '$told'" [ "$said" = "$told" ]
done

summary
