"""Run a program of the reference (YOLOv5 of 2020) on today's packages: with the names back that NumPy has dropped, pickled checkpoints
allowed, and its writing into views of parameters, which torch forbids by now, outside the gradient's bookkeeping.

    cd REFERENCE_FOLDER; reference.py PROGRAM.py ARGUMENT...
"""
import os
import runpy
import sys

os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'
os.environ['MPLBACKEND'] = 'Agg'
sys.path.insert(0, os.getcwd())

import numpy
import torch

for name, value in {'int': int, 'float': float, 'bool': bool}.items():
    if name not in numpy.__dict__:
        setattr(numpy, name, value)
if not hasattr(numpy, 'trapz'):
    numpy.trapz = numpy.trapezoid

from models.yolo import Model

Model._initialize_biases = torch.no_grad()(Model._initialize_biases)

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
