"""The model card: what a bundle is, in plain words, for people who were not there when it was trained.

Everything in it follows from the statement, the run's configuration and the manifests. Names that people chose are
escaped, so that none can pass for a part of the card. It says whom a scheme hides pictures from, and whom not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from blindsight.protocol.bundle import FINGERPRINT
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.markdown import escaped
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.config import RunConfig
from blindsight.trainer.metrics import ACCURACY, HIGH, LOW, ROWS, holders_of, prefix_of

POOLED: Final = "pooled"
MOST_CLASSES: Final = 200
MOST_DATA_SETS: Final = 100
MOST_CHARACTERS: Final = 400
"""Of a description."""

Predicate = Mapping[str, Any]


def card(
    predicate: Predicate, config: RunConfig, manifests: Sequence[Manifest], log: Log, files: Collection[str]
) -> bytes:
    """Write ``MODEL_CARD.md``.

    Args:
        predicate: what the bundle states.
        config: how it was trained.
        manifests: the verified manifests it was trained and measured on, at least one.
        log: the membership log.
        files: names of the bundle's other files.

    Returns:
        UTF-8, less than 1 MiB.
    """
    descriptor = Descriptor.from_json(predicate["scheme"])
    sections = (
        _title(predicate, descriptor, log),
        _interface(predicate),
        _classes(manifests[0].classes),
        _scheme(descriptor),
        _viewers(descriptor, has_fingerprint=FINGERPRINT in files),
        _training(predicate, config, descriptor),
        _data(manifests),
        _figures(predicate["metrics"], {manifest.predicate["holder"]: manifest.holder for manifest in manifests}),
        _LIMITS,
        _LABELS,
        _CHECKS,
        f"## Software\n\n{_table(('name', 'version'), sorted(predicate['training']['software'].items()))}",
    )
    return ("\n\n".join(sections) + "\n").encode()


def _title(predicate: Predicate, descriptor: Descriptor, log: Log) -> str:
    model, kind = predicate["model"], "images that are not encrypted" if _bare(descriptor) else "encrypted images"
    trainer = log.roster.trainer(predicate["trainer"]).label
    return f"""# Model card: {escaped(model["name"])} {escaped(model["version"])}

A network that sorts {kind} into {predicate["task"]["classes"]} classes. {escaped(trainer)} trained it for the
federation {escaped(log.name)} ({log.code}), on images of the federation's epoch {predicate["epoch"]}, and wrote this
card on {predicate["created"]}. `bundle.dsse.json` names every file of this folder with its SHA-256; it also says
whether a holder has led the model to the key of another epoch since."""


def _interface(predicate: Predicate) -> str:
    height, width, channels = predicate["input"]["shape"]
    return f"""## What it takes and gives

It takes images of {height} x {width} pixels with {channels} channel(s), as bytes (uint8; rows, columns, channels),
exactly as the scheme below wrote them: not scaled, not compressed with loss, not normalised, which the network does
itself. For each image it gives one number a class (a logit); the greatest is its answer.

Images under another key, of another scheme, or not encrypted at all where it expects encrypted ones, it answers too,
with confident nonsense. `blindsight operator predict` refuses images that state another key or scheme."""


def _classes(classes: Sequence[str]) -> str:
    shown = _table(("label", "class"), [(str(label), name) for label, name in enumerate(classes[:MOST_CLASSES])])
    more = len(classes) - MOST_CLASSES
    return f"## Classes\n\n{shown}" + (f"\n\nand {more} more, in `labels.json`." if more > 0 else "")


def _scheme(descriptor: Descriptor) -> str:
    traits = descriptor.traits
    parameters = ", ".join(f"{name} {value}" for name, value in descriptor.params.items()) or "no parameters"
    lines = [
        f"## The scheme of its images, and how it falls\n\n`{descriptor.id}` version {descriptor.v} ({parameters}): "
        f"{traits.title}.\nSource: {traits.source}.",
        f"**{traits.falls}**",
        traits.control,
    ]
    return "\n\n".join(line for line in lines if line)


def _viewers(descriptor: Descriptor, *, has_fingerprint: bool) -> str:
    if _bare(descriptor):
        return "Whoever gets the images sees the scenes."
    keyed = descriptor.traits.scope != "none"
    rows = [
        (
            "somebody who looks at encrypted images",
            "may see contours and flat areas, and under some schemes the scene (`blindsight holder preview` shows it)",
        ),
        ("a holder", _HOLDER if keyed else "there is no key: the same as whoever has encrypted images"),
        ("whoever has encrypted images, the operator too", "what the sentence above says; then sees the scenes"),
        ("whoever has this folder", _FOLDER + (_FINGERPRINT if has_fingerprint else "")),
    ]
    return f"{_HIDES}\n\n| who | what they can do |\n|---|---|\n" + "\n".join(f"| {who} | {can} |" for who, can in rows)


_HIDES = """The scheme hides scenes from people who look at the pictures, not from people who compute. Whoever holds
encrypted images must be treated as somebody who may come to see the scenes."""
_HOLDER = "has the key of the epoch and opens every image of that epoch it gets hold of, other holders' too"
_FOLDER = (
    "learns classes and figures, may find out whether an image was trained on, and finds hints of the key in the first "
    "layer"
)
_FINGERPRINT = (
    "; `fingerprint.safetensors` states how the units of an encrypted block go together over a sample of training "
    "images, so that an operator can notice images under another key: the leak that known attacks on the scheme use, "
    "which reveals nothing that encrypted images do not, but reveals that to those who have none"
)


def _training(predicate: Predicate, config: RunConfig, descriptor: Descriptor) -> str:
    arch, training = predicate["arch"]["params"], predicate["training"]
    way = _WAYS[training["strategy"] == POOLED].format(clients=training["clients"])
    settings = {**config.to_flower(), "strategy": training["strategy"]}
    return f"""## How it was trained

Network `{predicate["arch"]["id"]}` behind a first layer of kind `{arch["stem"]}`, which sees {arch["unit"]}s in blocks
of {arch["block"]} x {arch["block"]} pixels. {way}
This is the model after round {training["rounds"]} of {config.rounds}: the one with the most right answers on the
validation rows. Weights and order of images follow from seed {training["seed"]}.

- **Augmentation:** {_augmentation(config, descriptor)}
- **Optimizer:** {_optimizer(config)}
- **Differential privacy:** none. What the network keeps of a single image is not bounded by anything.

{_table(("setting", "value"), [(name, _spelt(value)) for name, value in sorted(settings.items())])}"""


_WAYS = (
    "Federated averaging: in each round {clients} holder(s) trained on their own rows; their weights were averaged.",
    "Pooled: one loop over the shards of {clients} holder(s) on one machine; a round is a share of all rows.",
)


def _augmentation(config: RunConfig, descriptor: Descriptor) -> str:
    """In words what was done to the images in each step; what the scheme does not allow was not done."""
    recipe, aligned = config.recipe, descriptor.traits.aligned
    steps = [
        f"moved by one block with a chance of {recipe.shift:g}" if recipe.shift and aligned else "",
        f"blocks of other images put in, for a batch with a chance of {recipe.cutmix:g}"
        if recipe.cutmix and aligned
        else "",
        f"units mixed with those of another image (Beta {recipe.mixup:g})" if recipe.mixup else "",
        f"shifted by up to {recipe.crop} pixels" if recipe.crop else "",
        "every other one mirrored" if recipe.mirror else "",
    ]
    done = "; ".join(step for step in steps if step) or "none"
    return f"in each step of training: {done}. Before encryption: see the data sets' descriptions."


def _optimizer(config: RunConfig) -> str:
    recipe = config.recipe
    method = _METHODS[recipe.optimizer].format(lr=recipe.lr, momentum=recipe.momentum, muon=recipe.muon_lr)
    return (
        f"{method}; rates rise over {recipe.warm_up:g} of the rounds, then fall; batches of {recipe.batch}, weight "
        f"decay {recipe.weight_decay:g} on weights of two and more dimensions{_SPARED[recipe.optimizer]}, "
        f"label smoothing {recipe.label_smoothing:g}, forward pass in {config.precision}."
    )


_METHODS: Final = {
    "sgd": "SGD with Nesterov momentum {momentum:g}, highest learning rate {lr:g}",
    "adamw": "AdamW with first moment {momentum:g}, highest learning rate {lr:g}",
    "muon": "Muon, highest learning rate {muon:g}, for convolutions without a bias behind the first layer; for the "
    "rest SGD with Nesterov momentum {momentum:g}, highest learning rate {lr:g}",
}
_SPARED: Final = {"sgd": "", "adamw": "", "muon": ", those that Muon moves excepted"}


def _data(manifests: Sequence[Manifest]) -> str:
    ordered = sorted(manifests, key=lambda manifest: (manifest.holder, manifest.split))
    rows = [_data_set(manifest) for manifest in ordered[:MOST_DATA_SETS]]
    head = ("holder", "data set", "split", "images", "description", "licence")
    more = len(manifests) - MOST_DATA_SETS
    total = sum(manifest.predicate["rows"] for manifest in manifests if manifest.split == "train")
    return (
        f"## Data\n\nTrained on {total} encrypted images; several views of one picture count as several images.\n\n"
        + _table(head, rows)
        + (f"\n\nand {more} more data sets, see `training.manifests` in the statement." if more > 0 else "")
    )


def _data_set(manifest: Manifest) -> tuple[str, ...]:
    stated = manifest.predicate["dataset"]
    words = stated.get("description", "")
    words = words if len(words) <= MOST_CHARACTERS else words[: MOST_CHARACTERS - 1] + "…"
    name = f"{stated['name']} {stated['version']}"
    return (
        manifest.holder,
        name,
        manifest.split,
        str(manifest.predicate["rows"]),
        words,
        stated.get("license", "not stated"),
    )


def _figures(metrics: Mapping[str, str], names: Mapping[str, str]) -> str:
    if metrics.get(ROWS) == "0":
        return "## Figures\n\nNobody published validation rows: nothing was measured."
    rows = [("all holders", *_figure(metrics, ""))]
    rows += sorted((names.get(fpr, fpr), *_figure(metrics, prefix_of(fpr))) for fpr in holders_of(metrics))
    return f"## Figures\n\n{_table(('validation rows of', 'images', 'right', '95 % interval'), rows)}\n\n{_ROWS}"


_ROWS = """Validation rows are the `val` splits that the holders published: encrypted like the training rows, under the
same key, and not trained on. The round was chosen by these rows, so the figures are a little too good. The interval
(Wilson) says how far chance in the choice of rows may have moved a figure; it says nothing of pictures from elsewhere.
Each figure was computed by the trainer or reported by the holder's site; nobody else has checked it."""


def _figure(metrics: Mapping[str, str], prefix: str) -> tuple[str, str, str]:
    accuracy, rows = metrics.get(prefix + ACCURACY), metrics.get(prefix + ROWS, "not counted")
    if accuracy is None:
        return rows, "not measured", ""
    ends = [metrics[prefix + name] for name in (LOW, HIGH) if prefix + name in metrics]
    return rows, _percent(accuracy), " to ".join(map(_percent, ends))


_LIMITS = """## What it is for, and limits

For answering images that the federation's holders encrypted with this scheme and key, of the kind they trained on. It
was not tested on other cameras, places or times, and it gives one of its classes whatever a picture shows. It is not
made to decide about people without somebody who checks. Labels, membership in the training set and equal images are
not hidden by any part of this. Of its licence this card states nothing; the data sets' licences stand above."""

_LABELS = """## Where the labels come from

The labels are the holders': they came with each data set, in plain. The manifests fix the class names, no more. Who
assigned the labels, and how well, nobody has checked here."""

_CHECKS = """## How to check this folder

```
blindsight operator check BUNDLE --log PLACE
blindsight protocol inspect BUNDLE --log PLACE
```

`BUNDLE` is this folder, `PLACE` the drop-box or an exported log of the federation; add `--federation CODE` with the
code as a member reads it out to you. The first command verifies signature and files, and asks the model the eight
images of noise in `selftest.safetensors`, to which it must answer what the trainer's network answered."""


def _bare(descriptor: Descriptor) -> bool:
    return descriptor.id == "plain"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: str) -> str:
    return f"{100 * float(share):.2f} %"


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
