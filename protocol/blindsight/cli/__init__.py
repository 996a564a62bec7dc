"""The command ``blindsight``: one program, a role's verbs under the role's name.

Only the named role is imported, and heavy libraries only inside the verb that needs them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from blindsight.protocol.errors import BlindsightError, FormatError, MissingExtraError

ROLES: Mapping[str, tuple[str, str]] = {
    "simulate": ("blindsight.simulation.cli", "play a whole federation on this machine, every party in its own folder"),
    "holder": ("blindsight.holder.cli", "keys, federation, epoch, publishing: for those who own images"),
    "trainer": ("blindsight.trainer.cli", "check manifests, train on encrypted shards, export a model bundle"),
    "operator": ("blindsight.operator.cli", "check a model bundle, predict on encrypted images"),
    "relay": ("blindsight.relay.cli", "keep rooms in which parties leave documents for one another"),
    "protocol": ("blindsight.cli.inspect", "say what a file is and whether it verifies"),
}
EXTRAS: Mapping[str, str] = {
    "torch": "trainer",
    "flwr": "trainer",
    "onnx": "trainer",
    "onnxscript": "trainer",
    "onnxruntime": "operator",
    "ray": "ray",
    "fsspec": "remote",
    "s3fs": "remote",
    "starlette": "relay",
    "uvicorn": "relay",
    "h11": "relay",
}
INTERRUPTED = 130
WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words after ``blindsight``; those of the process by default.

    Returns:
        0 done, 1 refused or failed, 2 wrong usage, 3 an extra or a passphrase is missing, 75 waiting for others,
        130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except BlindsightError as error:
        return _refuse(error, as_json="--json" in words)
    except KeyboardInterrupt:
        _say("interrupted; what was finished stands, and the same command goes on from there")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        refusal = FormatError("there is not enough memory for that", code="E_IO", hint="name smaller images")
        return _refuse(refusal, as_json="--json" in words)
    except OSError as error:  # the machine's fault, not the caller's: a full disk, a folder that is none
        place = error.filename or "a file"
        refusal = FormatError(f"{place} cannot be read or written: {error.strerror or error}", code="E_IO")
        return _refuse(refusal, as_json="--json" in words)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0 if words else WRONG_USAGE
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        sys.stdout.write(f"blindsight {version('blindsight')}\n")
        return 0
    if words[0] not in ROLES:
        _say(f"error: there is no {words[0]!r}; there are {', '.join(ROLES)}")
        _say("hint: blindsight --help")
        return WRONG_USAGE
    return _run_role(words[0], words[1:])


def _run_role(role: str, words: list[str]) -> int:
    try:
        module: ModuleType = importlib.import_module(ROLES[role][0])
        status: int = module.main(words)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise MissingExtraError(
            f"this needs {package}, which is not installed",
            hint=f'pip install "blindsight[{EXTRAS[package]}]" (with -c constraints.txt for a CPU build of torch)',
        ) from error
    return status


def _help() -> str:
    lines = ["usage: blindsight ROLE VERB [options]", ""]
    lines += ["Federated learning and inference on images that people cannot read and networks can.", "", "roles:"]
    lines += [f"  {role:<10} {summary}" for role, (_, summary) in ROLES.items()]
    lines += [
        "",
        "Every ROLE and VERB has --help of its own.",
        "",
        "example:",
        "  blindsight simulate --out runs/first",
    ]
    return "\n".join(lines) + "\n"


def _refuse(error: BlindsightError, *, as_json: bool) -> int:
    kept = list(error.kept) or _kept(error)
    for path in kept:
        _say(f"evidence kept in {path}")
    if as_json:
        import json

        facts = {"code": error.code, "message": error.message, "hint": error.hint, "evidence": kept}
        sys.stdout.write(json.dumps({"error": facts}) + "\n")
    _say(f"error: {error.message} [{error.code}]")
    if error.hint:
        _say(f"hint: {error.hint}")
    return error.exit_status


def _kept(error: BlindsightError) -> list[str]:
    """Keep the documents that would convince a third party, where no keystore's folder is at hand for them."""
    if not error.evidence:
        return []
    from blindsight.cli import state
    from blindsight.protocol.envelope import Envelope
    from blindsight.protocol.files import write_whole

    folder = state.folder() / "evidence"
    folder.mkdir(mode=0o700, exist_ok=True)
    paths = []
    for document in error.evidence:
        path = folder / f"{error.code}-{Envelope.from_bytes(document).mid[:12]}.json"
        write_whole(path, document, mode=0o600)
        paths.append(str(path))
    return paths


def _say(sentence: str) -> None:
    sys.stderr.write(f"blindsight: {sentence}\n")
