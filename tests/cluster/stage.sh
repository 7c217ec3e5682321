#!/bin/sh
# The task of all clusters: 16 pictures of shapes, a detector of 40,000 parameters, and weights that have learnt a little.
#
#   tests/cluster/stage.sh PROGRAM_FOLDER FOLDER       makes FOLDER/data/shapes.yaml, FOLDER/tiny.yaml and FOLDER/base.pt
programs=$1
mkdir -p "$2" && cd "$2" || exit 1
cat >tiny.yaml <<'YAML'
nc: 3
depth_multiple: 0.33
width_multiple: 0.0625
anchors:
  - [10,13, 16,30, 33,23]
  - [30,61, 62,45, 59,119]
  - [116,90, 156,198, 373,326]
backbone:
  - [-1, 1, Focus, [64, 3]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 3, BottleneckCSP, [256]]
  - [-1, 1, Conv, [512, 3, 2]]
  - [-1, 1, Conv, [1024, 3, 2]]
  - [-1, 1, SPP, [1024, [5, 9, 13]]]
head:
  - [[3, 4, 6], 1, Detect, [nc, anchors]]
YAML
"$programs/shapes" --out data --train 16 --val 8 --size 64 &&
    "$programs/train" --data data/shapes.yaml --cfg tiny.yaml --weights '' --img-size 64 --batch-size 8 --epochs 200 --threads 1 \
        --precision fp32 --noautoanchor --nosave --notest --cache --logdir training &&
    mv training/exp0/weights/last.pt base.pt &&
    rm -r training
