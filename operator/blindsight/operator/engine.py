"""The engine: a verified model in ONNX Runtime, on one thread of its own.

One thread, no spinning: an operator runs one engine per worker, and a waiting thread must not eat the core of a
working one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from blindsight.operator.graph import demand_self_contained
from blindsight.protocol.bundle import MODEL, SELFTEST, Bundle
from blindsight.protocol.errors import FormatError, SchemeError, ServingError
from blindsight.protocol.selftest import SelfTest

INPUT: Final = "image"
OUTPUT: Final = "logits"
PROVIDER: Final = "CPUExecutionProvider"
SEVERITY_FATAL: Final = 4
# The runtime's own errors have no common ancestor but Exception.
_OWN = [kind for kind in vars(runtime).values() if isinstance(kind, type) and issubclass(kind, Exception)]
_FAULTS: Final[tuple[type[Exception], ...]] = (*_OWN, RuntimeError, ValueError)


class Engine:
    """A loaded model.

    Args:
        model: an ONNX file, verified; it is never read from disk.
        shape: ``(H, W, C)`` of every encrypted image.
        classes: number of classes.

    Raises:
        FormatError: E_FORMAT, no ONNX, external data, operators beyond the standard, or another input or output.
    """

    __slots__ = ("_session", "classes", "shape")

    def __init__(self, model: bytes, shape: tuple[int, int, int], classes: int) -> None:
        demand_self_contained(model)
        self.shape = shape
        self.classes = classes
        self._session = _session(model)
        self._demand_signature()

    @classmethod
    def of(cls, bundle: Bundle) -> Engine:
        """The engine of a verified bundle.

        Raises:
            FormatError: see ``Engine``.
        """
        return cls(bundle.files[MODEL], bundle.shape, len(bundle.classes))

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the model.

        Args:
            images: ``(n, H, W, C)`` uint8, encrypted, n ≥ 1.

        Returns:
            Logits, ``(n, classes)`` float32.

        Raises:
            SchemeError: E_SCHEME, images of another shape or type.
            ServingError: E_SERVING, the model fails or gives no finite numbers.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != self.shape or not len(images):
            raise SchemeError(f"expected images (n, {_spelt(self.shape)}) uint8, got {images.shape} {images.dtype}")
        logits: NDArray[np.float32] = self._run(images)
        if logits.shape != (len(images), self.classes) or not np.isfinite(logits).all():
            raise ServingError(f"expected {self.classes} finite logits for each of {len(images)} images")
        return logits

    def warm_up(self) -> None:
        """Run the model once on a black image, so that the first real one does not wait for the runtime.

        Raises:
            ServingError: E_SERVING, the model does not run.
        """
        self.infer(np.zeros((1, *self.shape), dtype=np.uint8))

    def demand_answers(self, test: SelfTest) -> float:
        """Ask the model a self-test, and demand the answers that its trainer's network gave.

        Args:
            test: images and expected logits, for this shape and number of classes.

        Returns:
            The largest difference.

        Raises:
            ServingError: E_SERVING, the model does not run, or answers otherwise.
        """
        difference = test.difference(self.infer(test.images))
        if difference > test.tolerance:
            raise ServingError(
                f"the model is not the network that was trained, or does not compute like it: its self-test differs by "
                f"{difference:.3g}, expected at most {test.tolerance:.3g}",
                hint="ask who signed the bundle to export it again",
            )
        return difference

    def _run(self, images: NDArray[np.uint8]) -> Any:
        try:
            (logits,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(images)})
        except _FAULTS as error:
            raise ServingError(f"the model fails on these images: {_first_line(error)}") from error
        return logits

    def _demand_signature(self) -> None:
        inputs = [(node.name, node.type, list(node.shape)) for node in self._session.get_inputs()]
        outputs = [(node.name, node.type, list(node.shape)) for node in self._session.get_outputs()]
        _demand_ports("input", inputs, (INPUT, "tensor(uint8)", self.shape))
        _demand_ports("output", outputs, (OUTPUT, "tensor(float)", (self.classes,)))


def selftest_in(bundle: Bundle) -> SelfTest | None:
    """The self-test of a verified bundle, or None where it has none.

    Raises:
        FormatError: E_SHARD, E_FORMAT, E_CANON, it is damaged, or is for other images or classes.
    """
    if SELFTEST not in bundle.files:
        return None
    test = SelfTest.from_bytes(bundle.files[SELFTEST])
    test.demand_for(bundle.shape, len(bundle.classes))
    return test


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = SEVERITY_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=[PROVIDER])
    except _FAULTS as error:
        raise FormatError(f"ONNX Runtime refuses the model: {_first_line(error)}") from error


def _demand_ports(
    kind: str, found: list[tuple[str, str, list[Any]]], expected: tuple[str, str, tuple[int, ...]]
) -> None:
    name, dtype, shape = expected
    (port, *more) = found
    free = len(port[2]) > 0 and not isinstance(port[2][0], int)
    if more or port[:2] != (name, dtype) or not free or port[2][1:] != list(shape):
        raise FormatError(
            f"expected one {kind} {name} of {dtype} [n, {_spelt(shape)}], got {', '.join(map(str, found))[:200]}"
        )


def _spelt(shape: tuple[int, ...]) -> str:
    return ", ".join(str(side) for side in shape)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
