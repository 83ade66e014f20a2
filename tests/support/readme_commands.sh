#!/usr/bin/env bash
# readme_commands.sh README HEADING: the commands of the first block below a heading, as they stand.
awk -v heading="$2" '
    /^#/ { below = $0 == heading }
    below && /^```/ { if (inside) exit; inside = 1; next }
    below && inside' "$1"
