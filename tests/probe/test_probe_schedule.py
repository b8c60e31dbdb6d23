"""Which depths are measured: within the context and the time given."""

from hypothesis import given
from hypothesis import strategies as st

from advisor.probe import schedule
from advisor.probe.schedule import Read
from advisor.sizing.settings import RunSettings


@given(
    ctx=st.integers(256, 1 << 20),
    parallel=st.integers(1, 8),
    seconds=st.floats(5, 120),
    prefill=st.floats(0.5, 50_000),
    decode=st.floats(0.05, 2_000),
    fall=st.floats(0.05, 1.2),
)
def test_points_stay_inside_the_context(*, ctx, parallel, seconds, prefill, decode, fall):
    settings = RunSettings(ctx=ctx, parallel=parallel)
    room = schedule.cells_per_sequence(settings)
    warm = schedule.warm_up(settings)
    first = schedule.first(settings, seconds, prefill, decode)
    read = [Read(first.n_prompt, prefill)]
    deep = schedule.deeper(settings, seconds, read, decode)
    deepest = None
    if deep is not None:
        read.append(Read(deep.n_prompt, prefill * fall))
        deepest = schedule.deeper(settings, seconds, read, decode)
    for point in (warm, first, deep, deepest):
        if point is not None:
            assert point.n_prompt >= 1
            assert point.n_decode >= 1
            assert point.n_prompt + point.n_decode <= room
    if deep is not None:
        assert deep.n_prompt >= 2 * first.n_prompt


def test_a_fast_machine_gets_the_whole_prompt_and_a_deep_one():
    settings = RunSettings(ctx=32768, n_prompt=512)
    first = schedule.first(settings, 30, prefill_tps=3000, decode_tps=60)
    assert (first.n_prompt, first.n_decode) == (512, 256)
    deep = schedule.deeper(settings, 20, [Read(512, 3000)], decode_tps=60)
    assert deep is not None
    assert deep.n_prompt == 16 * 512


def test_the_deepest_prompt_takes_what_two_before_it_let_expect():
    settings = RunSettings(ctx=131072)
    # 1 ms per 3 tokens at first, twice that at 8k: 60 % of 40 s are 24 s.
    read = [Read(512, 3000), Read(8192, 1500)]
    deep = schedule.deeper(settings, 40, read, decode_tps=60)
    assert deep is not None
    slope = (1 / 1500 - 1 / 3000) / (8192 - 512)
    each = 1 / 1500 + slope * (deep.n_prompt - 8192)
    assert 23.9 < deep.n_prompt * each < 24.1


def test_a_slow_machine_gets_what_the_time_allows():
    point = schedule.first(RunSettings(ctx=32768), 15, prefill_tps=8, decode_tps=1.2)
    assert point.n_prompt == 24
    assert point.n_decode == 4


def test_a_slot_takes_no_more_than_the_model_was_trained_for():
    def room(trained: int, **settings) -> int:
        return schedule.cells_per_sequence(schedule.as_trained(RunSettings(**settings), trained))

    assert room(4096, ctx=32768) == 4096
    assert room(0, ctx=32768) == 32768
    assert room(65536, ctx=32768) == 32768
    assert room(4096, ctx=32768, parallel=4) == 4096
    assert room(4096, ctx=32768, parallel=4, kv_unified=True) == 4096
    assert room(16384, ctx=32768, parallel=4) == 8192
