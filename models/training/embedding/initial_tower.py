"""The tower that training starts from."""

from __future__ import annotations

import numpy as np

from models.arrays import Floats
from models.backbone.identity_branch import IdentityBranch, load_identity_branch
from models.backbone.patch_network import patch_network
from models.embedding.layout import IDENTITY_WIDTH
from models.embedding.projection import (
    DEPTH_WEIGHTS,
    IDENTITY_BRANCH_WEIGHT,
    Projection,
    has_identity_branch,
)
from models.training.embedding.dataset import TrainingData
from models.training.embedding.fit_pca import fit_principal_axes, zero_padded
from models.training.embedding.identity_tower import IdentityTower


def initial_tower(data: TrainingData, *, identity_branch: bool) -> tuple[IdentityTower, Projection]:
    """The tower before its first step, and the maps that it does not train.

    A trained encoder is continued. Else the identity map starts as principal axes of all features
    together; the identity branch as a copy of the pretrained stages, with the principal axes of the
    deepest features.
    """
    projection, branch = data.cache.projection, None
    if identity_branch or has_identity_branch(data.base):
        branch = IdentityBranch(patch_network(data.spec)[0].network)
        branch.requires_grad_(identity_branch)
    if branch is not None and has_identity_branch(data.base) and projection.identity is not None:
        load_identity_branch(branch, data.base)
        return IdentityTower(projection.identity, projection.branch, branch), projection
    if branch is None and projection.identity is not None:
        return IdentityTower(projection.identity), projection
    features = data.cache.whitened(data.cache.clean_rows())
    if branch is not None:
        features = np.concatenate([features, _branch_features(projection, features)], axis=1)
    catalogs = data.pictures.catalogs
    sources = [features[catalogs == one] for one in np.unique(catalogs)]
    identity = zero_padded(fit_principal_axes(sources, IDENTITY_WIDTH, None), IDENTITY_WIDTH)
    axes = None if branch is None else projection.depths[-1]
    return IdentityTower(identity, axes, branch), projection


def _branch_features(projection: Projection, whitened: Floats) -> Floats:
    """The features (n, k) of the untrained branch: the deepest ones, with the branch's weight."""
    end = whitened.shape[1] - projection.colour.matrix.shape[1]
    deepest = whitened[:, end - projection.depths[-1].matrix.shape[1] : end]
    return np.float32(IDENTITY_BRANCH_WEIGHT / DEPTH_WEIGHTS[-1]) * deepest
