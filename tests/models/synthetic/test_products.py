"""Synthetic catalogs without a renderer: products, near duplicates, texts, cameras, scenes."""

import os
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from subprocess import run

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.images.corruptions import CORRUPTION_NAMES
from models.synthetic import descriptions
from models.synthetic.camera import box_of, fit_camera
from models.synthetic.meshes import box, lathe, tube
from models.synthetic.near_duplicates import sample_product, visibly_different
from models.synthetic.photography import packshot, shopper_photo
from models.synthetic.rows import SPLITS, split_of
from models.synthetic.shapes.registry import BUILDERS, shape
from models.synthetic.surfaces import pattern, patterned, texture_of
from models.synthetic.taxonomy import COLOURS, KINDS, MATERIALS, NEAR_COLOURS, PATTERNS

MANY = [sample_product(3, index) for index in range(400)]


def test_there_are_many_kinds_under_few_parents() -> None:
    assert len(KINDS) >= 12
    assert len({kind.parent for kind in KINDS}) == 4
    assert {kind.name for kind in KINDS} == set(BUILDERS) == set(descriptions.UNIT_CM)
    assert Counter(made.kind_name for made in MANY).keys() == set(BUILDERS)


def test_names_in_the_tables_exist() -> None:
    assert set(NEAR_COLOURS) == set(NEAR_COLOURS.values()) | set(COLOURS) == set(COLOURS)
    for kind in KINDS:
        assert set(kind.materials) | set(kind.accents) <= set(MATERIALS)
    assert set(descriptions.PATTERN_WORDS) == set(PATTERNS) - {"plain"}


def test_a_product_depends_on_seed_and_index_only() -> None:
    assert sample_product(3, 17) == MANY[17]
    assert sample_product(4, 17) != MANY[17]
    assert len({descriptions.description(made) for made in MANY}) > 360


def test_a_quarter_of_the_products_are_near_duplicates_of_the_one_before() -> None:
    duplicates = [made for made in MANY if made.near_duplicate_of is not None]
    assert 0.18 < len(duplicates) / len(MANY) < 0.32
    for duplicate in duplicates:
        base = MANY[duplicate.index - 1]
        assert duplicate.near_duplicate_of == base.index
        assert base.near_duplicate_of is None
        same = replace(duplicate, index=base.index, near_duplicate_of=None, changed=None)
        changed = [
            name
            for name in ("sizes", "style", "main", "accent", "label")
            if getattr(same, name) != getattr(base, name)
        ]
        assert len(changed) == 1
        assert replace(same, **{changed[0]: getattr(base, changed[0])}) == base
        assert duplicate.changed


def test_a_near_duplicate_of_another_size_changes_one_size_within_its_range() -> None:
    for duplicate in MANY:
        if duplicate.changed is not None and duplicate.changed.startswith("size"):
            base = dict(MANY[duplicate.index - 1].sizes)
            changed = [name for name, value in duplicate.sizes if value != base[name]]
            assert duplicate.changed == f"size: {changed[0]}"
            low, high = duplicate.kind.sizes[changed[0]]
            assert low <= duplicate.size(changed[0]) <= high
            assert abs(duplicate.size(changed[0]) - base[changed[0]]) >= 0.34 * (high - low)
            assert visibly_different(duplicate, MANY[duplicate.index - 1])


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_style_of_a_kind_has_finite_geometry_and_normals(kind: str) -> None:
    made = next(one for one in MANY if one.kind_name == kind)
    for style in made.kind.styles:
        patches = shape(replace(made, style=style))
        points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
        assert np.isfinite(points).all()
        assert 0.3 < np.ptp(points, axis=0).max() < 8
        for patch in patches:
            normals = patch.normals()
            assert np.isfinite(normals).all()
            assert np.linalg.norm(normals, axis=2).max() < 1 + 1e-9
            assert patch.uv.shape == (*patch.points.shape[:2], 2)


def test_normals_of_a_convex_body_point_all_outwards_or_all_inwards() -> None:
    for patches in (
        lathe([(0, 0), (1, 0), (1, 2), (0, 2)]),
        box(2, 1, 1),
        tube([(0, 0, 0), (0, 0, 3)], 1),
    ):
        points = np.concatenate([patch.points.reshape(-1, 3) for patch in patches])
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        for patch in patches:
            outwards = ((patch.points - centre) * patch.normals()).sum(axis=2)
            solid = np.linalg.norm(patch.normals(), axis=2) > 0.5
            assert (outwards[solid] > -1e-6).all() or (outwards[solid] < 1e-6).all()


def test_edges_of_a_profile_have_separate_normals() -> None:
    floor, wall = lathe([(0, 0), (1, 0), (1, 2)])
    assert np.allclose(np.abs(floor.normals()[..., 2]), 1)
    assert np.allclose(wall.normals()[..., 2], 0)


@settings(max_examples=25)
@given(
    elevation=st.floats(0, 60),
    fill=st.floats(0.3, 0.95),
    roll=st.floats(-15, 15),
    seed=st.integers(0, 1000),
)
def test_the_camera_fills_the_frame(elevation: float, fill: float, roll: float, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(50, 3))
    left, top, right, bottom = box_of(fit_camera(points, elevation, fill=fill, roll=roll), points)
    assert max(right - left, bottom - top) == pytest.approx(fill, abs=0.02)
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.02)
    assert (top + bottom) / 2 == pytest.approx(0.5, abs=0.02)


def test_view_and_box_do_not_depend_on_the_corruptions() -> None:
    made = MANY[5]
    for number in range(6):
        full, clean = shopper_photo(made, number), shopper_photo(made, number, ())
        assert full.box == clean.box
        assert not clean.strengths
        assert np.array_equal(full.scene.camera.eye, clean.scene.camera.eye)
        for name in CORRUPTION_NAMES:
            less = shopper_photo(
                made, number, [other for other in CORRUPTION_NAMES if other != name]
            )
            kept = {other: value for other, value in full.strengths.items() if other != name}
            assert less.strengths == kept


def test_every_corruption_occurs() -> None:
    seen = Counter(
        name
        for made in MANY[:12]
        for number in range(3)
        for name in shopper_photo(made, number).strengths
    )
    assert set(seen) == set(CORRUPTION_NAMES)


def test_boxes_lie_in_the_picture_and_are_filled_by_the_product() -> None:
    for made in MANY[:10]:
        for shot in (packshot(made), shopper_photo(made, 0)):
            left, top, right, bottom = shot.box
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
            assert max(right - left, bottom - top) > 0.45


def test_near_duplicates_share_a_split_and_shares_are_kept() -> None:
    parts = [split_of(made) for made in MANY]
    for (one, _), (other, duplicate) in pairwise(zip(parts, MANY, strict=True)):
        assert duplicate.near_duplicate_of is None or one == other
    for name, share in SPLITS.items():
        assert parts.count(name) / len(parts) == pytest.approx(share, abs=0.08)
    assert {split_of(made, {"test": 1.0}) for made in MANY[:50]} == {"test"}


def test_texts_come_from_the_parameters() -> None:
    for made in MANY:
        title, text = descriptions.title(made), descriptions.description(made)
        assert made.brand in title
        assert made.main.colour in title
        assert made.main.colour in text
        assert made.accent.colour in text
        if made.main.pattern != "plain":
            assert descriptions.PATTERN_WORDS[made.main.pattern] in title
        attributes = descriptions.attributes(made)
        assert attributes["material"] == made.main.material
        low, high = made.kind.price
        assert low - 0.01 <= descriptions.price(made) <= high + 0.01


def test_near_duplicates_of_another_colour_have_another_title() -> None:
    for duplicate in MANY:
        if duplicate.changed in {"colour", "pattern"}:
            base = MANY[duplicate.index - 1]
            assert descriptions.title(duplicate) != descriptions.title(base)
            assert descriptions.price(duplicate) == descriptions.price(base)


def test_queries_are_noisy_and_repeatable() -> None:
    queries = [descriptions.query(made, number) for made in MANY for number in range(2)]
    assert queries == [descriptions.query(made, number) for made in MANY for number in range(2)]
    texts = [text for text in queries if text is not None]
    assert 0.75 < len(texts) / len(queries) < 0.92
    known = {
        word
        for made in MANY
        for phrase in (
            descriptions.title(made), made.kind_name, made.kind.plural, made.main.material,
            *made.kind.synonyms
        )
        for word in phrase.lower().split()
    }  # fmt: skip
    noisy = sum(any(word not in known for word in text.lower().split()) for text in texts)
    assert 0.2 < noisy / len(texts) < 0.7


def test_patterns_show_both_colours_and_textures_repeat() -> None:
    x, y = np.meshgrid(*[np.linspace(0, 4, 80, dtype=np.float32)] * 2)
    for name in PATTERNS[1:]:
        cover = pattern(name, x, y)
        assert 0.03 < cover.mean() < 0.97, name
        assert cover.min() >= 0
        assert cover.max() <= 1
    made = next(one for one in MANY if one.label is not None and one.kind_name == "mug")
    first, second = texture_of(made, "main", 3.0), texture_of(made, "main", 3.0)
    assert first is not None
    assert second is not None
    assert np.array_equal(first, second)
    unlabelled = texture_of(replace(made, label=None), "main", 3.0)
    assert unlabelled is None or not np.array_equal(unlabelled, first)
    drawn = patterned(made.main, 100, 50, 2.0, np.random.default_rng(0))
    assert drawn.shape == (50, 100, 3)


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["pyvista", "OpenGL"])
def test_a_missing_renderer_is_named_and_everything_else_works(missing: str) -> None:
    program = (
        "import sys\n"
        f"if {missing!r} == 'pyvista': sys.modules['pyvista'] = None\n"
        "import models.synthetic\n"
        "from models.synthetic.photography import shopper_photo\n"
        "from models.synthetic.near_duplicates import sample_product\n"
        "from models.synthetic.scene import Renderer\n"
        "from models.errors import SyntheticError\n"
        "shot = shopper_photo(sample_product(0, 0), 0)\n"
        "assert 'pyvista' not in sys.modules or sys.modules['pyvista'] is None\n"
        "try:\n    Renderer(64).render(shot.scene)\n"
        "except SyntheticError as error:\n    assert 'lookstream[synthetic]' in str(error)\n"
        f"else:\n    assert {missing!r} == 'OpenGL'\n"  # another OpenGL may be there
    )
    # Without vendors EGL finds no driver; VTK would crash when it renders.
    hidden = {**os.environ, "__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent"}
    assert run([sys.executable, "-c", program], check=False, env=hidden).returncode == 0
