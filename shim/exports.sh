#!/usr/bin/env bash
# Prints the linker's version script: the calls of calls.def are exported, all else stays local.
set -euo pipefail
names=$(sed -nE 's/^[[:space:]]*CALL[A-Z_0-9]*\([^,]*,[[:space:]]*([A-Za-z_][A-Za-z_0-9]*).*/\1/p' "$1" | sort -u)
[ -n "$names" ] || { echo "$1 has no CALL row" >&2; exit 1; }
echo '{'
echo '  global:'
printf '    %s;\n' $names
echo '  local: *;'
echo '};'
