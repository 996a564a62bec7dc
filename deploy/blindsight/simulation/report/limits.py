"""What a run protects, what it does not, and who can do what; in words that stay true.

"Encrypted" alone would promise too much: the page says "perceptually encrypted" and explains it. What is said of
``le`` was measured with a prototype on numpy and scipy, one thread, which is not part of this version: twelve photos
of 149 × 224 to 512 × 512 pixels, twelve exact keys for blocks of 4, in 6 to 20 seconds each; four sets of four
32 × 32 crops, four keys; five of five for blocks of 8; 16 was not tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from blindsight.simulation.report.values import Report

_MEANING = (
    "In this file “encrypted” means perceptually encrypted: the content of every block is scrambled under a key, "
    "so that eyes lose the scene and networks can still learn. How well it is hidden from people who look depends on "
    "the picture: contours stay, and in large pictures with small blocks they can be enough to recognise somebody. "
    "Anyone who holds the files and wants the scene can compute it."
)
_BLOCKS_SCRAMBLED: Final = frozenset({"le", "ele", "vit-block"})
_MAY_BE_SEEN = (
    "How much of the scene still shows differs from scheme to scheme and from picture to picture: look at the pictures "
    "above. Anyone who holds the files and wants the scene can get closer to it by computing."
)
_LE_FALLS = (
    "One encrypted photo is enough to compute the key of LE, and that key opens every other image of the epoch. "
    "Measured with a prototype of the attack, which this version does not contain: 12 photos out of 12, in 6 to 20 "
    "seconds each on one processor thread, blocks of 4, no plain image needed. Four pictures of 32 × 32 pixels "
    "were enough too, and blocks of 8 fell the same way."
)
_SHARDS = (
    "What decides who can do that is who holds the files. In this run the {done} shards stayed at the holders: "
    "each holder trained on its own, and manifests, measurements and model updates went to the trainer. The test "
    "images went to the operator {done}, and sealed to a key of its own while they lay in the drop-box. Neither was "
    "sent plain images or keys of the holders."
)
_LABELS = "Labels are plain: shards hold them as they are, and updates can tell the trainer which classes a holder has."
_HINTS = "A model’s first layer may reveal structure of the key, so treat model files as hints of the key."
_TRACES = "Updates and models carry traces of the images behind them; training together does not remove these."
_CONTROLS = (
    "The controls above test whether the model is bound to the key. Even at chance they do not show that anything is "
    "hidden from someone who computes."
)
_ONE_MACHINE = (
    "All parties of this simulation ran on one machine, each in a folder of its own. Only the folders kept them apart."
)
_PLAIN = "This run used the scheme “plain”: nothing was encrypted, and anyone who holds the files sees the pictures."


@dataclass(frozen=True, slots=True)
class Party:
    """Who meets the data, what they hold in this run and what they can do with it."""

    name: str
    holds: str
    can: str


def paragraphs(report: Report) -> tuple[str, ...]:
    """Lists the paragraphs on what the run protects and what it does not."""
    setup = report.setup
    labels = " ".join((_LABELS, _HINTS, _TRACES) if setup.can_bind else (_LABELS, _TRACES))
    if setup.is_plain:
        return (f"{_PLAIN} {setup.traits.control}", labels, _ONE_MACHINE)
    falls = _LE_FALLS if setup.scheme == "le" else setup.traits.falls
    last = f"{_CONTROLS} {_ONE_MACHINE}" if setup.can_bind else _ONE_MACHINE
    shards = _SHARDS.format(done="encrypted" if setup.has_key else "changed")
    return (_meaning(report), f"{falls} {setup.traits.control}".strip(), shards, labels, last)


def parties(report: Report) -> tuple[Party, ...]:
    """Lists who meets the data of this run; empty where nothing was encrypted."""
    if report.setup.is_plain:
        return ()
    others = (_trainer(report), _operator(report), _reader(), _thief(report), _recipient(report))
    return (_passer_by(report), _holder(report), *others)


def _meaning(report: Report) -> str:
    if report.setup.scheme in _BLOCKS_SCRAMBLED:
        return _MEANING
    done = report.setup.traits.title
    return f"In this file “encrypted” means what the scheme “{report.setup.scheme}” does: {done}. {_MAY_BE_SEEN}"


def _compute(report: Report) -> str:
    if report.setup.scheme == "le":
        return "Computes the key from one photo or a few small pictures, then every scene under it."
    if not report.setup.has_key:
        return "Sees what everybody sees in these images, and can guess lost detail."
    return "Can compute the scenes."


def _passer_by(report: Report) -> Party:
    hidden = "Sees contours and flat areas at most; in large pictures with small blocks they may be enough."
    shown = "May see more or less of the scene: see the pictures above."
    return Party(
        "Someone who looks",
        "A view of encrypted pictures: a screen, a folder preview, a log.",
        hidden if report.setup.scheme in _BLOCKS_SCRAMBLED else shown,
    )


def _holder(report: Report) -> Party:
    if not report.setup.has_key:
        return Party("Each holder", "Its own images, the model.", _compute(report))
    opened = "Opens every encrypted image of this epoch that it gets hold of, another holder’s too."
    lossy = "Brings back what the scheme has not lost of every encrypted image of this epoch, another holder’s too."
    can = opened if report.setup.traits.invertible else lossy
    return Party("Each holder", "Its own images, the key of the epoch, the model.", can)


def _trainer(report: Report) -> Party:
    hints = "hints of the key in the first layer and " if report.setup.can_bind else ""
    return Party(
        "The trainer",
        "Manifests, model updates, the model. No shards, as they stayed at the holders.",
        f"Finds {hints}traces of encrypted images in updates, and may go on from there to the scene. Learns which "
        "classes a holder has.",
    )


def _operator(report: Report) -> Party:
    holds = "The model, the encrypted test images, which it has unsealed, their labels, the answers."
    return Party("The operator", holds, _compute(report))


def _reader() -> Party:
    return Party(
        "Someone who reads the drop-box",
        "Signed documents with names and times, sealed test images, the model bundle.",
        "Learns who takes part, when, and how many images there are. What is sealed opens with the operator’s key.",
    )


def _thief(report: Report) -> Party:
    can = f"{_compute(report)} Labels are there to read."
    return Party("Someone who copies a holder’s shards", "Encrypted images, plain labels.", can)


def _recipient(report: Report) -> Party:
    found = "find out whether a known image was used in training."
    can = f"Finds hints of the key in the first layer; may {found}" if report.setup.can_bind else f"May {found}"
    return Party("Whoever receives the model", "The model bundle.", can)
