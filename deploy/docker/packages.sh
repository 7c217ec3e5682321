#!/bin/sh
# The Debian packages whose libraries the programs below FOLDER are linked with, one a line.
#
#   packages.sh FOLDER
#
# So the image that runs them installs just these, and no list is kept by hand. Libraries of no package (CUDA's) are left out.
set -eu
find "$1" -type f \( -name 'mendel-*' -o -name '*.so' \) ! -name '*.1' -exec ldd {} \; |
    sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u |
    while read -r library; do
        # Where /lib is a link to /usr/lib, packages may name either.
        real=$(realpath "$library")
        dpkg-query -S "$library" "$real" "${real#/usr}" 2>/dev/null | sed -n 's/^\([^,: ]*\):.*/\1/p' | head -n 1
    done | sort -u
