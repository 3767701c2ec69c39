"""The fitted weights that come with the package; `README.md` beside this says how each was made."""

from pathlib import Path

WEIGHTS = Path(__file__).parent
