"""What llama.cpp reserves for one context: the graph, where it runs, and the bytes it takes.

This is the accounting of llama.cpp's memory fit (no_alloc). It forgets which nodes a context pins
to a device (ggml_backend_sched_reserve_size resets the scheduler), so on several GPUs a real run
hands over one activation less per device: 4 × 4·n_embd·n_ubatch bytes with pipeline copies.
"""

from collections.abc import Sequence

from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.compute.backends import Rules, rules_of
from advisor.sizing.compute.buffers import ComputeBuffers
from advisor.sizing.compute.graphs import graph_of
from advisor.sizing.compute.layout import layout
from advisor.sizing.compute.question import Recipe, question_of
from advisor.sizing.compute.traces import CONTRADICTIONS, measure
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings


def reserve(
    model: Model, settings: RunSettings, placement: Placement, backends: Sequence[str]
) -> ComputeBuffers | None:
    """Bytes per device and on the host; None when the graph is not known."""
    n_devices = len(backends)
    hp = model.hp
    rule = memory.memory_rule(model, settings)
    graph = None if hp is None else graph_of(hp.arch, settings.ctx_type)
    if hp is None or graph is None or rule is None:
        return None
    if hp.arch == "grok" and settings.flash_attn != "off":
        # llama-context.cpp:llama_init_from_model turns it off.
        settings = settings.model_copy(update={"flash_attn": "off"})
    used = [settings.main_gpu] if settings.split_mode == "none" and n_devices else range(n_devices)
    made = layout(model)
    rules: tuple[Rules, ...] = tuple(rules_of(backends[device]) for device in used)
    pooling = memory.pooling(model, settings)
    question, units = question_of(made, rule, settings, placement, used, rules, pooling=pooling)
    try:
        sizes = measure(question, Recipe(hp, graph, made), units)
    except CONTRADICTIONS:
        # A header whose keys and tensors do not belong together, which llama.cpp would not load.
        sizes = None
    if sizes is None:
        return None
    devices = [0] * n_devices
    for device, size in zip(used, sizes[:-1], strict=True):
        devices[device] = size
    return ComputeBuffers(devices=tuple(devices), host=sizes[-1])
