#!/usr/bin/env bash
# A plugin exports one symbol, fedmpi_plugin, and nothing else of its own.
#   plugin_symbols.sh PLUGIN...
set -euo pipefail

failed=0
for plugin in "$@"; do
  exported=$(nm --dynamic --defined-only "$plugin" | awk '$2 ~ /[TDRBW]/ {print $3}' | grep -vxE '__bss_start|_edata|_end')
  if [ "$exported" != fedmpi_plugin ]; then
    echo "$plugin exports: $exported"
    failed=1
  fi
done
[ "$failed" -eq 0 ] && echo "$# plugins export fedmpi_plugin alone"
exit "$failed"
