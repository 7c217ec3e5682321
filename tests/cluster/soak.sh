#!/bin/sh
# An hour (MINUTES) of workers that come and go: nothing may grow. SAMPLES=FILE keeps what was measured.
#
#   tests/cluster/soak.sh PROGRAM_FOLDER
exec "$(dirname "$0")/run.sh" "${1:-}" unrest
