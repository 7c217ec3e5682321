"""Turn a folder's JPEGs into PNGs, which every decoder reads alike.   pictures.py FOLDER"""
import sys
from pathlib import Path

from PIL import Image

for file in Path(sys.argv[1]).glob('*.jpg'):
    Image.open(file).convert('RGB').save(file.with_suffix('.png'))
    file.unlink()
