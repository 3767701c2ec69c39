"""The absolute score of a candidate, from the states that compared it (Pailitao-VL §5.4).

p_i = MLP([z_0 ‖ z_i]) are the logits of the four levels, z_0 the query's pooled state and z_i the
candidate's. The head lies beside its model, as safetensors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from models.errors import WeightsError
from models.weights.files import read_weights, write_tensors

NAME = "absolute_head.safetensors"
FORMAT = 1
LEVELS = 4


class AbsoluteHead(nn.Module):
    """MLP of one hidden layer, float32. `width` is the model's, D."""

    def __init__(self, width: int, hidden: int = 512) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.LayerNorm(2 * width)
        self.into = nn.Linear(2 * width, hidden)
        self.out = nn.Linear(hidden, LEVELS)

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits (n, candidates, 4) of pooled states (n, 1 + candidates, D), the query's first."""
        states = pooled.float()
        query = states[:, :1].expand(-1, states.shape[1] - 1, -1)
        joined = self.norm(torch.cat([query, states[:, 1:]], dim=-1))
        logits: Tensor = self.out(nn.functional.gelu(self.into(joined)))
        return logits


def save_head(head: AbsoluteHead, folder: Path, card: dict[str, object]) -> None:
    """Write the head beside its model, with a card that says how it was trained."""
    tensors = {name: value.detach().cpu().numpy() for name, value in head.state_dict().items()}
    write_tensors(folder / NAME, tensors, {"format": FORMAT, "width": head.width, **card})


def load_head(folder: Path, width: int) -> AbsoluteHead | None:
    """The head of a model of this width; None where its folder has none.

    Raises:
        WeightsError: it cannot be read, or is of another model.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    again = "train it again (`lookstream train reranker --mllm`), or remove it to rank without"
    try:
        arrays, card = read_weights(path)
        if card["format"] != FORMAT or card["width"] != width:
            raise WeightsError(f"{path} is of another model or version: {again}")
        head = AbsoluteHead(width, arrays["into.bias"].shape[0])
        head.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (OSError, WeightsError, KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(f"{path} cannot be read ({error}): {again}") from error
    return head.eval()
