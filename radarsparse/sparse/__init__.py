"""Sparse voxel tensors, plans, layers and engines."""

from radarsparse.sparse.engines import packing, prefer_engine, use_engine
from radarsparse.sparse.layers import InverseConv3d, StridedConv3d, Subdivide, SubmanifoldConv3d
from radarsparse.sparse.ops import fill, look_up, prune, union
from radarsparse.sparse.tensor import SparseTensor, Support

__all__ = [
    "InverseConv3d",
    "SparseTensor",
    "StridedConv3d",
    "Subdivide",
    "SubmanifoldConv3d",
    "Support",
    "fill",
    "look_up",
    "packing",
    "prefer_engine",
    "prune",
    "union",
    "use_engine",
]
