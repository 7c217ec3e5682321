#!/bin/sh
# The shortest trainer there is: two hyperparameters, and a fitness that falls with their distance from (0.3, 0.7).
#   coordinator --trainer examples/trainers/sphere.sh --meta examples/trainers/sphere.yaml --generations 100 --local-workers 2
echo "looking at x and y"
awk '
    $1 == "x:" { x = $2 }
    $1 == "y:" { y = $2 }
    END { printf "%.9f\n", 1 / (1 + (x - 0.3) ^ 2 + (y - 0.7) ^ 2) }
' "$MENDEL_HYP" >"$MENDEL_RESULTS"
