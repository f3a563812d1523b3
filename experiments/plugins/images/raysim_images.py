"""Images as one more kind of text: a source and a measure, in a package of their own.

An image is a small file of rows of hexadecimal digits, a digit a pixel of 16 grey levels. With a vocabulary of bytes a
token is a pixel, and a language model is an autoregressive model of images (as van den Oord et al., arXiv 1601.06759,
factor them), so that training, prompts and windows of lines (here: of rows) are what they are for code.

Rows that differ in one pixel are no copy to a window. The measure `image_copies` therefore has models complete images,
and asks whether what they draw is nearer to a training image than held-out images are: the ratio of nearest-neighbour
distances by which Carlini et al. (USENIX Security 2023, arXiv 2301.13188, section 5) tell copies from images that are
like many others. Models that never saw the organization answer the same prompts: what they copy is coincidence.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from raysim.core.keys import seed_of
from raysim.core.settings import Settings
from raysim.corpus.files import SourceFile
from raysim.corpus.reading import SourceReading
from raysim.measures.base import ClientTask, EvalContext, Measure, Section, SectionTable
from raysim.measures.when import CheckpointKinds
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.strategy import ModelCheckpoint
from raysim.tables.results import Results
from raysim.tables.spec import FLAG, REAL, SMALL, TEXT, table_spec
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.weights import Flat

SIDE = 8
"""Rows of an image, and pixels of a row."""
WHITE = 15
ROW_TOKENS = SIDE + 1
"""Pixels, and the line end."""

Image = npt.NDArray[np.int64]
"""Grey levels ``[SIDE, SIDE]``, 0 to `WHITE`."""


def written(image: Image) -> str:
    """An image as the text of its file."""
    return "".join("".join(f"{level:x}" for level in row) + "\n" for row in image.tolist())


def read(text: str) -> Image | None:
    """The inverse of `written`; None: it is no image."""
    rows = text.split("\n")[:SIDE]
    if len(rows) < SIDE or any(len(row) != SIDE or row.strip("0123456789abcdef") for row in rows):
        return None
    return np.array([[int(digit, 16) for digit in row] for row in rows])


class DigitsSettings(Settings):
    """Handwritten digits of scikit-learn: 1,797 images of 8 by 8 pixels."""

    classes: tuple[int, ...] = pydantic.Field(default=tuple(range(10)), description="the digits that are taken")
    repeated: int = pydantic.Field(default=0, ge=0, description="images that come several times, drawn by seed 1")
    times: int = pydantic.Field(default=16, ge=2, description="how often each of these comes")


class Digits:
    """Implements `raysim.corpus.installed_sources.Source`: a file an image; of its 17 grey levels the
    last is the one before, as a digit has room for 16."""

    Settings = DigitsSettings

    def __init__(self, settings: DigitsSettings) -> None:
        self._settings = settings

    def read(self, base: Path) -> SourceReading:
        """Reads no file but scikit-learn's own."""
        from sklearn.datasets import load_digits

        del base
        bunch: Any = load_digits()
        chosen = [number for number, label in enumerate(bunch.target.tolist()) if label in self._settings.classes]
        drawn = sorted(chosen, key=lambda number: seed_of(1, "repeated image", number))[: self._settings.repeated]
        files = list[SourceFile]()
        for number in chosen:
            text = written(np.minimum(bunch.images[number].astype(np.int64), WHITE))
            for copy in range(self._settings.times if number in drawn else 1):
                path = f"{bunch.target[number]}/{number:04}_{copy:02}.txt"
                files.append(SourceFile(path, text, f"digits/{bunch.target[number]}", "CC-BY-4.0"))
        return SourceReading(tuple(files), ())


class ImageCopiesSettings(Settings):
    """Whether models complete images to copies of training images."""

    images: int = pydantic.Field(default=24, ge=1, description="that are completed, of each organization and split")
    given_rows: int = pydantic.Field(default=3, ge=1, lt=SIDE, description="rows of an image that a model is shown")
    ratio: float = pydantic.Field(
        default=0.5, gt=0, le=1, description="distance to the nearest training image over that to the nearest held out"
    )
    when: CheckpointKinds = pydantic.Field(default=("final",), description="which of a strategy's models are asked")


COPIES = table_spec(
    "image_copies",
    "What a model made of the first rows of an image.",
    "model organization split image",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose image it is"),
        ("split", TEXT, "train or valid: where the organization has the image"),
        ("image", TEXT, "path of its file, of copies that of the first"),
        ("copies", SMALL, "how often the organization has it in that split"),
        ("is_image", FLAG, "whether the model wrote an image"),
        ("nearest", TEXT, "path of the nearest training image; empty where it wrote none"),
        ("distance", REAL, "to it: root mean square of grey levels over the rows that the model wrote, of 0 to 1"),
        ("held_out_distance", REAL, "likewise to the nearest held-out image that is not the one shown"),
        ("covered", FLAG, "whether the former is at most `ratio` of the latter"),
    ],
)


class ImageCopies(Measure):
    """Whether models complete images to copies of an organization's training images."""

    name, Settings, tables = "image_copies", ImageCopiesSettings, (COPIES,)
    kinds = (WorkKind("image_copies", "draw", "drawing", passes=1.0, flop_per_parameter=2),)

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        run, settings = context.run, self.settings
        for name, stats in run.client_stats.items():
            recipe = {
                "kind": "image_copies",
                "version": 1,
                "weights": checkpoint.model,
                "model": run.model_recipe,
                "tokenizer": run.tokenizer,
                "corpus": [stats.train_fingerprint, stats.valid_fingerprint],
                "settings": settings.model_dump(mode="json", exclude={"when"}),
                "split_seed": run.split_seed,
                "threads": run.trainer.threads,
                "libraries": run.libraries,
            }
            arguments = (run.spec, settings, run.split_seed, run.trainer.threads)
            tokens = 2 * settings.images * SIDE * ROW_TOKENS
            yield ClientTask("image_copies", name, "images", recipe, draw, arguments, tokens)

    @classmethod
    def section(cls, results: Results) -> Section | None:
        rows = shares(results)
        if not rows:
            return None
        return Section(
            "image_copies",
            "Images that are copies",
            "Images",
            place=450,
            lead="Share of images completed to a copy, by whose they are and whether the models saw that organization."
            " A copy is nearer to a training image than to any held-out image, by the ratio of the experiment. Rows"
            " that the model was shown do not count. Models that never saw the organization are the control.",
            tables=[SectionTable(["Organization", "Image", "Completed by", "Completions", "Copies"], rows)],
        )


def shares(results: Results) -> list[list[str]]:
    """For each organization and sort of image: how often models that saw the organization copied, and the others."""
    seen: dict[str, set[str]] = {}
    for row in results.table("models").to_pylist():
        if row["moment"] != "initial":
            seen.setdefault(row["model"], set()).update(row["organizations"])
    counts = Counter[tuple[str, str, str, bool]]()
    for row in results.table("image_copies").to_pylist():
        if row["model"] in seen:
            sort = "held out" if row["split"] == "valid" else "repeated" if row["copies"] > 1 else "once in training"
            by = "models that saw it" if row["organization"] in seen[row["model"]] else "models that did not"
            counts[row["organization"], sort, by, row["covered"]] += 1
    groups = sorted({group[:3] for group in counts})
    return [
        [*group, f"{(total := counts[*group, True] + counts[*group, False]):,}", f"{counts[*group, True] / total:.0%}"]
        for group in groups
    ]


def draw(
    organization: Organization, weights: Flat, spec: ModelSpec, settings: ImageCopiesSettings, seed: int, threads: int
) -> TaskOutput:
    """Runs inside the organization; of images their paths, counts and distances leave."""
    corpus = organization.corpus
    model = organization.scoring_model(spec, weights, threads)
    given = settings.given_rows * ROW_TOKENS
    known = {split: _distinct(getattr(corpus, split)) for split in ("train", "valid")}
    rows = list[dict[str, object]]()
    for split, images in known.items():
        chosen = _chosen(images, settings.images, seed)
        if not chosen:
            continue
        encoded = [organization.tokenizer.encode(text)[:given] for text in chosen]
        answers = _complete(model, [[organization.tokenizer.bos_id, *ids] for ids in encoded])
        for text, answer in zip(chosen, answers, strict=True):
            path, copies = images[text]
            others = [one for one in known["valid"] if one != text]
            found = compared(organization.tokenizer.decode(answer), list(known["train"]), others, settings)
            nearest = known["train"][found.pop("nearest")][0] if found["is_image"] else ""
            rows.append({"split": split, "image": path, "copies": copies, **found, "nearest": nearest})
    return TaskOutput(
        tables={"image_copies": pa.Table.from_pylist(rows, schema=COPIES.without("model", "organization"))}
    )


def _distinct(files: Sequence[SourceFile]) -> dict[str, tuple[str, int]]:
    """Of each image, by its text, the path of its first file and how many files it has; other files are none."""
    found: dict[str, tuple[str, int]] = {}
    for source in sorted((one for one in files if read(one.text) is not None), key=lambda source: source.path):
        path, copies = found.get(source.text, (source.path, 0))
        found[source.text] = path, copies + 1
    return found


def _chosen(images: dict[str, tuple[str, int]], count: int, seed: int) -> list[str]:
    """Those with the most copies first, which the planted ones are; then by chance."""
    return sorted(images, key=lambda text: (-images[text][1], seed_of(seed, "image", text)))[:count]


def _complete(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy completions of prompts of one length to whole images, the prompts (without BOS) included."""
    import torch

    ids = torch.tensor(prompts)
    with torch.inference_mode():
        while ids.shape[1] < 1 + SIDE * ROW_TOKENS:
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return ids[:, 1:].tolist()


def compared(
    text: str, training: Sequence[str], held_out: Sequence[str], settings: ImageCopiesSettings
) -> dict[str, Any]:
    """What is nearest to what a model wrote; columns of the table, and as ``nearest`` the text of the training image.

    Images of which nothing is held out are never covered, as there is nothing to compare with.
    """
    image = read(text)
    none = {"is_image": False, "nearest": "", "distance": None, "held_out_distance": None, "covered": False}
    if image is None or not held_out:
        return none
    own, others = (_distances(image, texts, settings.given_rows) for texts in (training, held_out))
    at = int(own.argmin())
    distance, other = float(own[at]), float(others.min())
    covered = distance <= settings.ratio * other and other > 0
    return {
        **none,
        "is_image": True,
        "nearest": training[at],
        "distance": distance,
        "held_out_distance": other,
        "covered": covered,
    }


def _distances(image: Image, texts: Sequence[str], given_rows: int) -> npt.NDArray[np.float64]:
    images = np.array([read(text) for text in texts])
    squares = np.square((images - image)[:, given_rows:] / WHITE)
    return np.sqrt(squares.mean(axis=(1, 2)))
