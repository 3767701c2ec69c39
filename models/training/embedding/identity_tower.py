"""The trained part of the encoder: the identity branch, and the maps behind it.

The trunk before the branch is frozen, so that a picture goes through it once (`feature_cache`) and
not once per epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.arrays import Floats
from models.backbone.identity_branch import IdentityBranch
from models.embedding.identity_library import IdentityLibrary
from models.embedding.pca import PrincipalAxes
from models.embedding.projection import IDENTITY_BRANCH_WEIGHT, Projection
from models.training.embedding.run_state import TrainableEncoder


@dataclass(frozen=True, eq=False)
class ViewFeatures:
    """The frozen features of n views.

    Attributes:
        trunk: the trunk's feature map, (n, c, h, w).
        weights: of each patch in the mean, (n, patches), rows summing to 1.
        whitened: depths and colour side by side, (n, d): see `Projection.whitened`.
    """

    trunk: Floats
    weights: Floats
    whitened: Floats


class IdentityTower(TrainableEncoder):
    """Features of views in, identities (n, 128) out: trains the branch, its axes, the identity map.

    Without ``identity_branch`` only the identity map is trained, on frozen features.
    """

    def __init__(
        self,
        identity: PrincipalAxes,
        branch: PrincipalAxes | None = None,
        identity_branch: IdentityBranch | None = None,
    ) -> None:
        super().__init__()
        self.identity_branch = identity_branch
        self.identity = _linear(identity)
        self.branch = None if branch is None else _linear(branch)

    def encode(self, inputs: ViewFeatures) -> Tensor:
        """As `Projection.project` with numpy, but not of length 1."""
        device = self.identity.weight.device
        features = torch.from_numpy(inputs.whitened).to(device)
        if self.identity_branch is not None and self.branch is not None:
            trunk = torch.from_numpy(inputs.trunk).to(
                device, torch.float32, memory_format=torch.channels_last
            )
            weights = torch.from_numpy(inputs.weights).to(device)
            patches = self.identity_branch(trunk).flatten(2)
            pooled = torch.bmm(patches, weights.to(patches.dtype).unsqueeze(2)).squeeze(2)
            branch = functional.normalize(self.branch(pooled).float(), dim=1)
            features = torch.cat([features, IDENTITY_BRANCH_WEIGHT * branch], dim=1)
        vectors: Tensor = self.identity(features)
        return vectors

    @torch.no_grad()
    def rotate(self, rotation: Floats) -> None:
        """Rotate the identities: h becomes h · rotation (128, 128)."""
        matrix = torch.from_numpy(rotation).to(self.identity.weight)
        self.identity.weight.copy_(matrix.T @ self.identity.weight)
        self.identity.bias.copy_(self.identity.bias @ matrix)

    def to_projection(self, projection: Projection, library: IdentityLibrary) -> Projection:
        """The projection with the trained maps."""
        branch = None if self.branch is None else _principal_axes(self.branch)
        return replace(
            projection, identity=_principal_axes(self.identity), branch=branch, library=library
        )


def _linear(axes: PrincipalAxes) -> nn.Linear:
    """x ↦ (x − mean) · matrix as a layer."""
    layer = nn.Linear(*axes.matrix.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(axes.matrix.T)))
        layer.bias.copy_(torch.from_numpy(-axes.mean @ axes.matrix))
    return layer


def _principal_axes(layer: nn.Linear) -> PrincipalAxes:
    """The layer as x ↦ (x − mean) · matrix, with the least mean that gives the bias."""
    matrix = layer.weight.detach().cpu().double().numpy().T
    bias = layer.bias.detach().cpu().double().numpy()
    mean = -np.linalg.lstsq(matrix.T, bias, rcond=None)[0]
    return PrincipalAxes(mean.astype(np.float32), matrix.astype(np.float32))
