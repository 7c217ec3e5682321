#!/bin/sh
# The long run of a cluster: 300 candidates, whatever happens. See endurance.sh for what does.
#
#   tests/cluster/long.sh PROGRAM_FOLDER
#
# A line for each check; closes with "N passed, N failed" and fails when one did.
exec "$(dirname "$0")/run.sh" "$1" endurance
