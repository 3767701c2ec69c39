"""Folders that tests read: the checkout, and real catalogs that may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "grocery"
SHARED = ROOT.parent / "shared" / "data"
SHARED_GROCERY = SHARED / "grocery"
