#!/usr/bin/env bash
# hone against llama.cpp and its relatives on this machine's CPU; see --help. The peers are built
# elsewhere: this needs only their programs.
exec python3 "$(dirname "$0")/compare_cpu_peers.py" "$@"
