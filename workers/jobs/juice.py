"""`lookstream juice`: a training set of fewer pixels or fewer samples, in a folder of its own.

Every sample that is done has a line in `juice.jsonl` of that folder, so that a run that was
interrupted goes on. Pictures are read and written by threads while the next ones are encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec
from PIL import Image

from models.catalog.folder import PHOTOS, PRODUCTS, Catalog, Photo, read_catalog
from models.curation.juicing import Sample, Way, chosen, crop_to_juice, measure_agreement
from models.embedding.protocol import SearchEncoder
from models.errors import CatalogError
from models.images.files import open_picture
from models.images.letterbox import Picture

JOURNAL = "juice.jsonl"
PICTURES = "juiced"
BATCH = 16
QUALITY = 92
"""Of WebP."""


class JuiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a juiced folder depends on, beside the folder that was read: the journal's first line.

    Attributes:
        way: how it becomes smaller.
        keep: the share of each photo's pixels, or of the photos.
        split: of the photos; None for all. Others stay as they are.
        seed: of random choice.
        model_id: of the encoder.
    """

    way: Way
    keep: float
    split: str | None
    seed: int
    model_id: str
    format: int = 2


@dataclass(frozen=True)
class Juiced:
    """The outcome: the samples in the folder's order, and which of them stay."""

    samples: tuple[Sample, ...]
    stays: tuple[bool, ...]

    @property
    def counts(self) -> dict[str, float]:
        """Photos and pixels before and after, and captions that gained a class."""
        before = sum(one.pixels for one in self.samples)
        after = sum(
            one.juiced_pixels or one.pixels
            for one, stays in zip(self.samples, self.stays, strict=True)
            if stays
        )
        return {
            "photos": len(self.samples),
            "kept": sum(self.stays),
            "pixels": before,
            "kept_pixels": after,
            "pixel_share": round(after / max(1, before), 4),
            "captions_enhanced": sum(
                stays and one.text != one.raw_text
                for one, stays in zip(self.samples, self.stays, strict=True)
            ),
        }


def juice_folder(
    folder: Path,
    out: Path,
    settings: JuiceSettings,
    encoder: SearchEncoder,
    progress: Callable[[int, int], None],
    threads: int = 2,
) -> Juiced:
    """Write a smaller training set of a catalog folder into another folder.

    Raises:
        CatalogError: the folder cannot be read, has no such photos, or `out` holds something else.
        PictureError: a photo cannot be opened.
    """
    catalog = read_catalog(folder)
    photos = catalog.photos if settings.split is None else catalog.split(settings.split)
    if not photos:
        raise CatalogError(f"{folder} has no photos: there is nothing to juice")
    for one in photos:
        if catalog.local_path(one.image) is None:
            raise CatalogError(f"{one.image} is no file: download photos before they are juiced")
    samples = _journal(out, settings)
    todo = [one for one in photos if one.image not in samples]
    done = len(photos) - len(todo)
    progress(done, len(photos))
    with ThreadPoolExecutor(threads) as pool, (out / JOURNAL).open("ab") as journal:
        for batch in _samples(todo, catalog, out, settings, encoder, pool):
            journal.write(b"".join(msgspec.json.encode(one) + b"\n" for one in batch))
            journal.flush()
            samples |= {one.image: one for one in batch}
            done += len(batch)
            progress(done, len(photos))
    found = tuple(samples[one.image] for one in photos)
    stays = chosen(found, settings.way, settings.keep, settings.seed)
    juiced = Juiced(found, tuple(stays))
    _write_folder(catalog, out, photos, juiced)
    return juiced


def juiced_picture(out: Path, image: str) -> Path:
    """Where the juiced copy of a photo is."""
    parts = [part for part in PurePosixPath(image).parts if part not in ("/", "..", ".")]
    return Path(out, PICTURES, *parts).with_suffix(".webp")


def _journal(out: Path, settings: JuiceSettings) -> dict[str, Sample]:
    """The samples that are done; begins the journal where there is none."""
    path = out / JOURNAL
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise CatalogError(f"{out} is not empty: give another --out")
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(settings) + b"\n")
        return {}
    first, *lines = path.read_bytes().split(b"\n")
    try:
        known = msgspec.json.decode(first, type=JuiceSettings)
    except msgspec.DecodeError as error:
        raise CatalogError(f"{path} cannot be read ({error}): give another --out") from error
    if known != settings:
        raise CatalogError(
            f"{out} was juiced with other options or another encoder: give another --out"
        )
    samples = {}
    for line in lines[:-1]:  # the last line has no end if its writer was interrupted
        try:
            one = msgspec.json.decode(line, type=Sample)
        except msgspec.DecodeError:
            continue  # it is made again
        samples[one.image] = one
    if lines and lines[-1]:
        path.write_bytes(b"\n".join([first, *lines[:-1], b""]))
    return samples


def _samples(
    photos: Sequence[Photo],
    catalog: Catalog,
    out: Path,
    settings: JuiceSettings,
    encoder: SearchEncoder,
    pool: ThreadPoolExecutor,
) -> Iterator[list[Sample]]:
    """The samples of some photos, batch by batch; their juiced pictures are written."""

    def opened(photo: Photo) -> Picture:
        return open_picture(Path(catalog.locate(photo.image)))

    agreement = measure_agreement(encoder)
    batches = [photos[start : start + BATCH] for start in range(0, len(photos), BATCH)]
    coming = [pool.submit(opened, one) for one in batches[0]] if batches else []
    for number, batch in enumerate(batches):
        pictures = [one.result() for one in coming]
        after = batches[number + 1] if number + 1 < len(batches) else ()
        coming = [pool.submit(opened, one) for one in after]
        texts = [_text(one, catalog) for one in batch]
        made = [
            Sample(image=one.image, text=text, raw_text=text, pixels=_pixels(picture))
            for one, text, picture in zip(batch, texts, pictures, strict=True)
        ]
        if settings.way is not Way.RANDOM:
            encoded = encoder.encode_items(pictures, texts, [one.category for one in batch])
            made = [
                msgspec.structs.replace(
                    one,
                    agreement=round(agreement(each, one.raw_text), 4),
                    box=each.juice.box,
                    text=each.juice.caption if settings.way is Way.JUICE else one.text,
                )
                for one, each in zip(made, encoded, strict=True)
            ]
        if settings.way is Way.JUICE:

            def write(one: Sample, picture: Picture) -> Sample:
                part = crop_to_juice(picture, one.box, settings.keep)
                _write_picture(juiced_picture(out, one.image), part)
                return msgspec.structs.replace(one, juiced_pixels=_pixels(part))

            made = list(pool.map(write, made, pictures))
        yield made


def _text(photo: Photo, catalog: Catalog) -> str:
    product = catalog.by_id.get(photo.product_id or "")
    return photo.text or (product.title if product else "")


def _pixels(picture: Picture) -> int:
    return int(picture.shape[0] * picture.shape[1])


def _write_picture(path: Path, picture: Picture) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    Image.fromarray(picture).save(part, "WEBP", quality=QUALITY)
    part.replace(path)


def _write_folder(catalog: Catalog, out: Path, photos: Sequence[Photo], juiced: Juiced) -> None:
    """The catalog folder: products as they are, photos of the split as they are now, the others."""
    kept = {
        photo.image: sample
        for photo, sample, stays in zip(photos, juiced.samples, juiced.stays, strict=True)
        if stays
    }
    ours = {photo.image for photo in photos}
    rows = []
    for photo in catalog.photos:
        image, sample = catalog.locate(photo.image), kept.get(photo.image)
        if sample is not None:
            if sample.juiced_pixels:
                image = juiced_picture(out, photo.image).relative_to(out).as_posix()
            rows.append(msgspec.structs.replace(photo, image=image, text=sample.raw_text or None))
        elif photo.image not in ours:
            rows.append(msgspec.structs.replace(photo, image=image))
    _write_lines(out / PHOTOS, rows)
    products = [
        msgspec.structs.replace(
            one,
            image=catalog.locate(one.image) if one.image else one.image,
            images=tuple(catalog.locate(image) for image in one.images),
        )
        for one in catalog.products
    ]
    if products:
        _write_lines(out / PRODUCTS, products)


def _write_lines(path: Path, rows: Sequence[msgspec.Struct]) -> None:
    lines = []
    for row in rows:
        fields = msgspec.to_builtins(row)
        some = {
            name: value for name, value in fields.items() if value not in (None, (), [], "", {})
        }
        lines.append(msgspec.json.encode(some) + b"\n")
    path.write_bytes(b"".join(lines))
