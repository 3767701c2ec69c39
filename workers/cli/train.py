"""`lookstream train embedding|rotation|reranker|juicer|text`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.console import Json, Quiet, finish, say
from workers.progress.open import open_progress

train = typer.Typer(help="Fit the models on your own catalogs.", no_args_is_help=True)


@train.command()
def embedding(
    catalogs: Annotated[list[Path], typer.Argument(help="Catalog folders to learn from.")],
    to: Annotated[Path, typer.Option("--out", help="Where the encoder's file is written.")],
    backbone: Annotated[str, typer.Option(help="lite2, lite0, or TIMM_NAME:SIZE:PATH.")] = "lite2",
    start: Annotated[
        Path | None,
        typer.Option(help="The encoder's file to go on from; by default the packaged one."),
    ] = None,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Begin with principal axes instead.")
    ] = False,
    split: Annotated[str, typer.Option(help="Photos of this split are trained on.")] = "train",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pictures a folder.")
    ] = None,
    clusters: Annotated[
        list[Path] | None,
        typer.Option(help="What `lookstream curate` wrote, one for each folder; repeatable."),
    ] = None,
    contrast_passes: Annotated[
        float, typer.Option(min=0, help="Passes over all pictures with the contrastive loss.")
    ] = 1.0,
    passes: Annotated[
        float, typer.Option(min=0, help="Passes with the loss of identities; 0 trains nothing.")
    ] = 12.0,
    views: Annotated[
        tuple[int, int],
        typer.Option(min=1, help="Views of a product's picture and of a photo."),
    ] = (16, 4),
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the first weights in the last ones.")
    ] = 0.0,
    identity_branch: Annotated[
        bool, typer.Option(help="Train the network's last stages too, not the maps alone.")
    ] = True,
    work: Annotated[
        Path | None, typer.Option(help="Where views and checkpoints are kept; by default by --out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of views, draws and order.")] = 0,
    ranks: Annotated[
        int, typer.Option(min=1, help="Processes that train together, each on a GPU of its own.")
    ] = 1,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train the encoder to recognise the products of catalog folders.

    It is for catalogs with photos of many products, for an encoder that several catalogs share, and
    best on a GPU. What it makes is another encoder: the index has to be built anew. To fit search
    to one catalog's pictures, `lookstream adapt` takes minutes, and no product is encoded again.

    It learns from the products' own pictures, in many augmented views, and from shoppers' photos of
    the split "train". Before it starts it says what it learns from, what it leaves out, and about
    how long it takes. It ends with an exam of the encoder that it started from and of the new one,
    and writes nothing (status 1) unless the new one is better by more than the error.

    The exam asks by photos of the split "val", of half of the products that they show; the others
    select the model. Where they show fewer than 16, a tenth of the products (a fifth of few) is
    kept out of training, and views of their pictures ask.

    An interrupted run resumes when it is started again. The loss curve is plotted beside the file.

    With --ranks, or started by torchrun on several machines, processes share every batch and the
    prototypes of all identities; the result is that of one process.

    [bold]Examples[/]

      lookstream train embedding my-shop --out my-shop/encoder.safetensors
      lookstream train embedding my-shop --no-identity-branch --passes 6 --out quick.safetensors
      lookstream train embedding my-shop --clusters clusters.jsonl --out purified.safetensors
      lookstream train embedding my-shop --ranks 4 --out my-shop/encoder.safetensors
    """
    from models.embedding.load import best_device, packaged_weights
    from models.training.embedding.dataset import TrainingConfig
    from models.training.embedding.loss_curve import plot_curves
    from models.training.embedding.plan import plan_training
    from models.training.embedding.ranks import process_group, started_as_rank
    from models.training.embedding.train import train_embedding
    from workers.cli.ranks import run_in_ranks
    from workers.cli.training_report import exam_lines, failure, plan_lines
    from workers.config.settings import load_settings

    if ranks > 1 and not started_as_rank():
        run_in_ranks(ranks)
        return
    config = TrainingConfig(
        folders=tuple(catalogs),
        backbone=backbone,
        start=None if afresh else start or packaged_weights(backbone),
        split=split,
        limit=limit,
        clusters=tuple(clusters or ()),
        contrast_passes=contrast_passes,
        passes=passes,
        identity_branch=identity_branch,
        views=views,
        keep=keep,
        seed=seed,
    )
    wanted = load_settings().models.device
    folder = work or to.with_name(f"{to.stem}-training")
    device = best_device() if wanted == "auto" else wanted
    with process_group(device) as (joined, own_device):
        leads = joined is None or not joined.rank
        plan = None
        if leads and (passes or contrast_passes):
            with open_progress(quiet=quiet) as bars, bars.task("timing views and steps") as task:
                plan = plan_training(
                    config,
                    device=own_device,
                    ranks=1 if joined is None else joined.world,
                    progress=task,
                )
            for line in plan_lines(plan, folder):
                say(line)
        with open_progress(quiet=quiet or not leads) as bars:
            fitted = train_embedding(config, folder, device=own_device, progress=bars.phases())
    if not leads:
        return
    report: dict[str, object] = {"out": str(to), "plan": None if plan is None else plan.report}
    report |= fitted.projection.card
    if fitted.exam is not None:
        for line in exam_lines(fitted.exam):
            say(line)
        report["exam"] = fitted.exam.report
        if not fitted.exam.passed:
            say(failure(to))
            finish({**report, "written": False}, json)
            raise typer.Exit(1)
    fitted.save(to)
    if fitted.history:
        plot_curves(fitted.history, to.with_suffix(".png"))
    say(f"written: {to}; use it with LOOKSTREAM_MODELS__PROJECTION={to}")
    say(
        "a reranker of its own: lookstream train reranker DIR --out FILE; it works without one, too"
    )
    finish({**report, "written": True}, json)


@train.command()
def rotation(
    catalogs: Annotated[list[Path], typer.Argument(help="Catalog folders to learn from.")],
    backbone: Annotated[
        str, typer.Option(help="An encoder of `models list`, or a folder of a Hugging Face model.")
    ],
    to: Annotated[Path, typer.Option("--out", help="Where the file is written.")],
    split: Annotated[str, typer.Option(help="Photos of this split are used.")] = "train",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pictures a folder.")
    ] = 1000,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fit the axes that shorter vectors of a hub's encoder keep, and its tokens.

    Vectors of full length need none of this: a rotation changes no similarity. With models.dim
    below that, the first axes are kept, and those that were fitted on pictures like yours keep more
    than those that are drawn. Set models.projection to the file.

    [bold]Example[/]

      lookstream train rotation my-shop --backbone dinov2-small --out my-shop/rotation.safetensors
    """
    from models.training.embedding.fit_tower import fit_tower
    from workers.config.settings import load_settings

    offline = load_settings().models.offline
    with open_progress(quiet=quiet) as bars, bars.task("encoding pictures") as task:
        card = fit_tower(
            catalogs, backbone, to, split=split, limit=limit, offline=offline, progress=task
        )
    say(f"written: {to}")
    finish({"out": str(to), **card}, json)


@train.command()
def reranker(
    catalogs: Annotated[
        list[Path], typer.Argument(help="Catalog folders, best with photos.jsonl.")
    ],
    to: Annotated[
        Path, typer.Option("--out", help="Where the parameters, or the folder, are written.")
    ],
    unknown: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that stands for catalogs the encoder doesn't know; repeatable. "
            "By default those of CATALOGS that it doesn't."
        ),
    ] = None,
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Photos to fit on; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many photos of a folder.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    mllm: Annotated[
        str | None,
        typer.Option(help="Train this vision-language model: a folder, or hf:OWNER/NAME."),
    ] = None,
    lora: Annotated[
        bool, typer.Option("--lora", help="With --mllm, low-rank changes alone.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="With --mllm, passes over all lists.")] = 5,
    rate: Annotated[
        float | None,
        typer.Option(help="With --mllm, the largest learning rate; by default 5e-6, LoRA 1e-4."),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fit the reranker's comparison and calibration for the encoder of the settings.

    By default on the splits train and val, or on views of the products' own pictures where there
    are no such photos; the report is of products held out, of several folders of whole catalogs
    held out. Catalogs that the encoder recognises and others are ordered by parameters of their
    own.

    With --mllm a Qwen3-VL is trained to look at the pictures of the same lists, whole or by --lora,
    and written as a folder with the head that scores absolutely. That is for a GPU, and needs
    the extra mllm-train. An interrupted run resumes when it is started again.

    [bold]Examples[/]

      lookstream train reranker my-shop --out my-shop/reranker.json
      lookstream train reranker my-shop other-shop third-shop --out reranker.json
      lookstream train reranker --mllm qwen3-vl-2b my-shop grocery --lora --out my-shop/reranker
    """
    from models.training.reranker.linear import fit_reranker, write_parameters
    from workers.cli.train_mllm import train_mllm_reranker
    from workers.config.load_models import encoder_of
    from workers.config.settings import load_settings

    if mllm is not None:
        if unknown:
            raise typer.BadParameter("--unknown is for the linear reranker: leave it out")
        if rate is not None and not 0 < rate < 1:
            raise typer.BadParameter("--rate is between 0 and 1")
        train_mllm_reranker(
            mllm,
            catalogs,
            to,
            lora=lora,
            epochs=epochs,
            rate=rate,
            limit=limit,
            splits=splits or None,
            seed=seed,
            quiet=quiet,
            json=json,
        )
        return
    if lora:
        raise typer.BadParameter("--lora is for --mllm: leave it out, or name a model")
    encoder = encoder_of(load_settings())
    with open_progress(quiet=quiet) as bars:
        fitted = fit_reranker(
            encoder,
            catalogs,
            unknown=unknown or (),
            splits=splits or None,
            limit=limit,
            seed=seed,
            progress=bars.phases(),
        )
    write_parameters(fitted, to)
    say(f"written: {to}; use it with LOOKSTREAM_MODELS__RERANKER={to}")
    for kind in ("known", "unknown"):
        card = fitted.card[kind]
        if isinstance(card, dict) and card["queries_are"] != "photos":
            say(f"for {kind} catalogs it was fitted on {card['queries_are']}, there were no photos")
    finish({"out": str(to), "encoder": fitted.encoder, **fitted.card}, json)


@train.command()
def juicer(
    catalogs: Annotated[
        list[Path], typer.Argument(help="Catalog folders whose products are cut out.")
    ],
    to: Annotated[Path, typer.Option("--out", help="Where the head is written.")],
    backbone: Annotated[str, typer.Option(help="lite2 or lite0.")] = "lite2",
    pictures: Annotated[
        int, typer.Option(min=100, help="Two thirds pasted, the others rendered.")
    ] = 3900,
    passes: Annotated[int, typer.Option(min=1, help="Over all pictures.")] = 12,
    seed: Annotated[int, typer.Option(help="Of pictures and draws.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Teach the juicer where products are, by pictures whose products are known.

    Products on plain backgrounds are cut out and pasted on photos of the split "train", and others
    are rendered. It makes the packaged heads, which other encoders do not read.

    [bold]Example[/]

      lookstream train juicer venia single_view --out models/weights/products-lite2.safetensors
    """
    from models.training.juicer.teach import TaughtCounts, teach_head

    counts = TaughtCounts().scaled_to(pictures)
    with open_progress(quiet=quiet) as bars:
        taught = teach_head(
            catalogs, backbone, counts, passes=passes, seed=seed, progress=bars.phases()
        )
    taught.save(to)
    say(f"written: {to}")
    finish({"out": str(to), **taught.card}, json)


@train.command()
def text(
    to: Annotated[Path, typer.Option("--out", help="Where the maps are written.")],
    encoder: Annotated[
        str, typer.Option("--text", help="Sentence encoder: minilm or multilingual.")
    ] = "minilm",
    documents: Annotated[
        int | None, typer.Option(min=320, help="At most so many classes and made-up products.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of stochastic descent.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of the made-up products and of the draws.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train the text projection: queries with typos lie near what is meant.

    Learns from names and definitions of ImageNet's classes and made-up products, for the
    multilingual encoder from names of emoji in fourteen languages too; no catalog.

    [bold]Examples[/]

      lookstream train text --steps 800 --out models/weights/words.safetensors
      lookstream train text --text multilingual --steps 800 --out words.safetensors
    """
    from models.embedding.text_projection import save_text_projection
    from models.training.text.train import fit_text_projection

    with open_progress(quiet=quiet) as bars:
        fitted = fit_text_projection(
            text=encoder, seed=seed, documents=documents, steps=steps, progress=bars.phases()
        )
    save_text_projection(fitted, to)
    say(f"written: {to}")
    finish({"out": str(to), **fitted.card}, json)
