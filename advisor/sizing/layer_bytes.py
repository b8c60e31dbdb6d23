"""What there is to place: the bytes of every layer."""

from dataclasses import dataclass

from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.allocation import flash_attention
from advisor.sizing.overrides import Targets
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import weight_table


@dataclass(frozen=True, slots=True)
class LayerBytes:
    """Bytes per layer, the last being the output layer."""

    dense: tuple[int, ...]
    experts: tuple[int, ...]
    context: tuple[int, ...]

    def sizes(self, on_cpu: int, first: int) -> list[int]:
        """Bytes per layer from ``first`` on, with the experts of ``on_cpu`` layers in RAM."""
        return [
            self.dense[il] + self.context[il] + (0 if il < on_cpu else self.experts[il])
            for il in range(first, len(self.dense))
        ]


def layer_bytes(
    model: Model, settings: RunSettings, backend: str, targets: Targets = ()
) -> LayerBytes | None:
    """The model as a list of layers; None when its context is not known.

    Tensors that ``targets`` (``-ot``) put elsewhere are left out.
    """
    context = memory.layer_context(model, settings, backend, flash=flash_attention(model, settings))
    if context is None:
        return None
    table = weight_table(model, backend, load_mtp=settings.load_mtp, targets=targets)
    return LayerBytes(
        dense=(*table.dense, table.output + table.tied),
        experts=(*table.experts, 0),
        context=(*context, 0),
    )
