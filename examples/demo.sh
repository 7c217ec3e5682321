#!/bin/sh
# A whole evolution on this machine: 12 candidates, two workers, a few minutes. The same command goes on where it was stopped.
#
#   examples/demo.sh PROGRAMS [DATA.yaml]
#
# Results lie in demo/; remove it to start anew.
set -eu
programs=$1 data=${2:-}
here=$(dirname "$0")

if [ -z "$data" ]; then
    data=demo/shapes/shapes.yaml
    "$programs/shapes" --out demo/shapes
fi
name=$(basename "$data" .yaml)
exec "$programs/coordinator" --run "demo/evolve_$name" --generations 12 --local-workers 2 \
    --data "$data" --cfg "$here/models/yolov5n.yaml" --epochs 32 --batch-size 16 --img-size 128 --adam --cache-images
