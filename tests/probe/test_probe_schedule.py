"""Which depths are measured: within the context and the time given."""

from hypothesis import given
from hypothesis import strategies as st

from advisor.probe import schedule
from advisor.sizing.settings import RunSettings


@given(
    ctx=st.integers(256, 1 << 20),
    parallel=st.integers(1, 8),
    seconds=st.floats(5, 120),
    prefill=st.floats(0.5, 50_000),
    decode=st.floats(0.05, 2_000),
)
def test_points_stay_inside_the_context(ctx, parallel, seconds, prefill, decode):
    settings = RunSettings(ctx=ctx, parallel=parallel)
    room = schedule.cells_per_sequence(settings)
    warm = schedule.warm_up(settings)
    first = schedule.first(settings, seconds, prefill, decode)
    deep = schedule.deeper(settings, seconds, first.n_prompt, prefill, decode)
    for point in (warm, first, deep):
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
    deep = schedule.deeper(settings, 20, 512, prefill_tps=3000, decode_tps=60)
    assert deep is not None
    assert deep.n_prompt == 18000


def test_a_slow_machine_gets_what_the_time_allows():
    point = schedule.first(RunSettings(ctx=32768), 15, prefill_tps=8, decode_tps=1.2)
    assert point.n_prompt == 24
    assert point.n_decode == 4
