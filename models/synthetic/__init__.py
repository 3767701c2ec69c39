"""Synthetic catalogs of rendered products, with ground truth that photos do not have.

taxonomy.py         categories, and the ranges and choices of each
product_sampler.py  one product, drawn from them
near_duplicates.py  products that differ from another in one attribute
shapes/, meshes.py  their geometry; surfaces.py: their textures
photography.py      packshots and shoppers' photos as scenes; camera.py, backgrounds.py
scene.py            rendering with VTK; vtk_actors.py
descriptions.py     titles, texts, attributes, queries
folder.py           a catalog folder of it all; rows.py, render_pool.py
"""

from models.images.corruptions import CORRUPTION_NAMES
from models.synthetic.folder import SyntheticSummary, write_synthetic_catalog

__all__ = ["CORRUPTION_NAMES", "SyntheticSummary", "write_synthetic_catalog"]
