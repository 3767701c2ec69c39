"""The identity of a picture as training sees it: a tail, and the maps behind it.

What lies before the tail is frozen, so that a picture goes through it once (`view_store`) and not
once per epoch.
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
class Views:
    """What the frozen part of the encoder made of n pictures.

    Attributes:
        trunk: the trunk's map, (n, c, h, w).
        weights: how much each patch counts, (n, patches), rows summing to 1.
        whitened: depths and colour side by side, (n, d): see `Projection.whitened`.
    """

    trunk: Floats
    weights: Floats
    whitened: Floats


class Tower(TrainableEncoder):
    """Views in, identities (n, 128) out; trains a tail, its axes and the identity map.

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

    def encode(self, inputs: Views) -> Tensor:
        """See `Projection.picture`, which does the same with numpy; not of length 1."""
        device = self.identity.weight.device
        parts = torch.from_numpy(inputs.whitened).to(device)
        if self.identity_branch is not None and self.branch is not None:
            trunk = torch.from_numpy(inputs.trunk).to(
                device, torch.float32, memory_format=torch.channels_last
            )
            weights = torch.from_numpy(inputs.weights).to(device)
            cells = self.identity_branch(trunk).flatten(2)
            pooled = torch.bmm(cells, weights.to(cells.dtype).unsqueeze(2)).squeeze(2)
            branch = functional.normalize(self.branch(pooled).float(), dim=1)
            parts = torch.cat([parts, IDENTITY_BRANCH_WEIGHT * branch], dim=1)
        vectors: Tensor = self.identity(parts)
        return vectors

    @torch.no_grad()
    def fit_rotation(self, rotation: Floats) -> None:
        """Turn the identities: h becomes h · rotation (128, 128)."""
        turned = torch.from_numpy(rotation).to(self.identity.weight)
        self.identity.weight.copy_(turned.T @ self.identity.weight)
        self.identity.bias.copy_(self.identity.bias @ turned)

    def into(self, projection: Projection, library: IdentityLibrary) -> Projection:
        """The projection with what was learned."""
        branch = None if self.branch is None else _axes(self.branch)
        return replace(projection, identity=_axes(self.identity), branch=branch, library=library)


def _linear(axes: PrincipalAxes) -> nn.Linear:
    """x ↦ (x − mean) · matrix as a layer."""
    layer = nn.Linear(*axes.matrix.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(axes.matrix.T)))
        layer.bias.copy_(torch.from_numpy(-axes.mean @ axes.matrix))
    return layer


def _axes(layer: nn.Linear) -> PrincipalAxes:
    """The same map with its mean taken out: the least one that gives the bias."""
    matrix = layer.weight.detach().cpu().double().numpy().T
    bias = layer.bias.detach().cpu().double().numpy()
    mean = -np.linalg.lstsq(matrix.T, bias, rcond=None)[0]
    return PrincipalAxes(mean.astype(np.float32), matrix.astype(np.float32))
