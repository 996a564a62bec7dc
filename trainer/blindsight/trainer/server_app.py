"""The Flower ServerApp: admits holders, runs the rounds, keeps last and best checkpoint.

Its folder comes from the server's own environment or context, never from the run configuration. The folder holds the
``job.json`` that ``trainer fit`` wrote; starting the same job again resumes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import nn

from blindsight.protocol.admission import demand_admitted, verify_federation
from blindsight.protocol.clock import now
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import FederationError
from blindsight.protocol.logfile import read_log
from blindsight.protocol.manifest import Manifest
from blindsight.trainer import weights
from blindsight.trainer.alone import alone
from blindsight.trainer.checkpoint import BEST, LAST, Checkpoint, Round, resume
from blindsight.trainer.cohort import MOMENTS_QUERY, Cohort
from blindsight.trainer.config import RunConfig
from blindsight.trainer.job import Job
from blindsight.trainer.model import model_for
from blindsight.trainer.pooled import STATE
from blindsight.trainer.whitening import CLIP, Moments, absorbing_units, whiten

STATE_VARIABLE = "BLINDSIGHT_TRAINER_STATE"
MOST_ROWS = 10**12
BUSY = "wait for it to end; a killed --engine ray may have left a flower-superlink"
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run a job from its first or next round to its last."""
    folder = _state_folder(context)
    job = Job.load(folder)
    config = RunConfig.from_flower(context.run_config)
    job.demand_config(config)
    cohort = Cohort(grid, config.timeout)
    with alone(folder, hint=BUSY):
        if (folder / STATE).exists():
            raise FederationError(f"{folder} holds a pooled run", hint="add --engine pooled, or name another folder")
        manifests = _admit(cohort, job)
        checkpoint = resume(folder, job.digest) or _start(cohort, job, manifests[0], config)
        checkpoint = _train(cohort, _strategy(), checkpoint, config, folder)
        _finish(cohort, _strategy(), checkpoint, folder)


def _state_folder(context: Context) -> Path:
    named = context.node_config.get("state-dir") or os.environ.get(STATE_VARIABLE)
    if not named:
        raise FederationError(f"the server does not know its folder: ${STATE_VARIABLE} is not set")
    return Path(str(named))


def _strategy() -> FedAvg:
    """Flower's own strategy; who takes part is decided by the cohort."""
    return FedAvg(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1)


def _admit(cohort: Cohort, job: Job) -> list[Manifest]:
    """Verify what the nodes offer, against the log, against each other and against the job."""
    log = read_log(job.log, people_code(bytes.fromhex(job.fed)))
    admitted: list[Manifest] = []

    def decide(offers: Mapping[int, tuple[bytes, ...]]) -> Mapping[int, str]:
        named = {f"node {node}/{n}": body for node, bodies in offers.items() for n, body in enumerate(bodies)}
        manifests, faults = verify_federation(log, named, now(), despite_notice=job.despite_notice)
        demand_admitted(faults)
        job.demand_manifests(manifests)
        admitted.extend(manifests)
        return {node: _one_holder(bodies) for node, bodies in offers.items()}

    cohort.admit(job.holders, decide)
    return admitted


def _one_holder(bodies: tuple[bytes, ...]) -> str:
    holders = {Envelope.from_bytes(body).body()["predicate"]["holder"] for body in bodies}
    if len(holders) != 1:
        raise FederationError(f"a node speaks for {len(holders)} holders, expected one")
    return str(holders.pop())


def _start(cohort: Cohort, job: Job, manifest: Manifest, config: RunConfig) -> Checkpoint:
    network = model_for(manifest.descriptor, manifest.predicate["task"]["classes"], config)
    if config.whiten:
        _whiten(network, cohort)
    return Checkpoint(job.digest, 0, weights.pack(network.state_dict()), ())


def _whiten(network: nn.Module, cohort: Cohort) -> None:
    """Begin the first layer from the second moments of the holders who give theirs."""
    size = absorbing_units(network)
    given = [_moments(reply, size) for reply in cohort.ask(MOMENTS_QUERY)] if size else []
    if parts := [one for one in given if one is not None]:
        whiten(network, Moments.of(parts))


def _moments(reply: Message, size: int) -> Moments | None:
    blocks = int(reply.content.metric_records["metrics"]["blocks"])  # type: ignore[arg-type]
    if blocks < 1:
        return None
    total = torch.from_numpy(reply.content.array_records["arrays"]["moments"].numpy().copy())
    fits = total.shape == (size, size) and total.dtype == torch.float64 and blocks < MOST_ROWS
    if not fits or not torch.isfinite(total).all():
        raise FederationError(f"expected second moments of {size} units from each node, got {tuple(total.shape)}")
    most = blocks * size * CLIP**2 * (1 + 1e-6)  # no block is longer than the clip allows
    if not ((total.diagonal() >= 0).all() and total.trace() <= most and total.abs().max() <= most):
        raise FederationError(f"expected second moments of {blocks} clipped blocks, got greater or negative ones")
    return Moments(total, blocks)


def _train(cohort: Cohort, strategy: Strategy, state: Checkpoint, config: RunConfig, folder: Path) -> Checkpoint:
    """The remaining rounds; each message measures the model that comes in and trains it."""
    for number in range(state.number + 1, config.rounds + 1):
        rates = [config.recipe.rate_at((number - step) / config.rounds) for step in (1, 0)]
        order = ConfigRecord({"rate-start": rates[0], "rate-end": rates[1]})
        messages = strategy.configure_train(number, _arrays(state), order, cohort)
        averaged, _ = strategy.aggregate_train(number, cohort.send_and_receive(messages))
        if averaged is None:
            raise FederationError(f"round {number} gave no weights")
        history = _measured(state, cohort, folder)
        state = Checkpoint(state.job, number, averaged["weights"].numpy().astype("float32"), history)
        state.save(folder / LAST)
    return state


def _finish(cohort: Cohort, strategy: Strategy, state: Checkpoint, folder: Path) -> None:
    """Measure the last model, which no training message has measured."""
    if state.history and state.history[-1].number == state.number:
        return
    messages = strategy.configure_evaluate(state.number, _arrays(state), ConfigRecord({"last": True}), cohort)
    cohort.send_and_receive(messages)
    history = _measured(state, cohort, folder)
    Checkpoint(state.job, state.number, state.weights, history).save(folder / LAST)


def _measured(state: Checkpoint, cohort: Cohort, folder: Path) -> tuple[Round, ...]:
    """The history with the model that was just measured; it is kept if it is the best so far."""
    found = _round(state.number, cohort.metrics)
    history = (*state.history, found)
    if found.accuracy >= state.best:  # of equals, the longer trained
        Checkpoint(state.job, state.number, state.weights, history).save(folder / BEST)
    return history


def _round(number: int, metrics: Mapping[str, Mapping[str, float]]) -> Round:
    _demand_counts(metrics)
    rows = {fpr: int(m["val-rows"]) for fpr, m in metrics.items()}
    total = max(sum(rows.values()), 1)
    correct = sum(m["val-correct"] for m in metrics.values())
    loss = sum(m["val-loss"] * m["val-rows"] for m in metrics.values())
    holders = {fpr: m["val-correct"] / max(m["val-rows"], 1) for fpr, m in metrics.items()}
    return Round(number, correct / total, loss / total, holders, rows)


def _demand_counts(metrics: Mapping[str, Mapping[str, float]]) -> None:
    """Counts come from the holders' sites; an interval can be had of possible ones only."""
    for fpr, m in metrics.items():
        if not 0 <= m["val-correct"] <= m["val-rows"] < MOST_ROWS:
            raise FederationError(
                f"{fpr[:12]}: expected no more right answers than val rows, got {m['val-correct']} of {m['val-rows']}"
            )


def _arrays(state: Checkpoint) -> ArrayRecord:
    return ArrayRecord({"weights": Array(state.weights)})
