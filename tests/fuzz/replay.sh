#!/bin/sh
# What is known to lead somewhere, once more.
#
#   tests/fuzz/replay.sh REPLAY_PROGRAM CORPUS.tar.gz
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
tar -xzf "$2" -C "$folder" || exit 2
"$1" "$folder"
