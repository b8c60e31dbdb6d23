"""How long a rig takes for the usage: rough against exact, and what a probe replaces."""

import pytest
from advice_cases import CHAT, model

from advisor.advice.engine import Engine, MeasuredRun
from advisor.advice.timing import roughly, timed
from advisor.advice.usage import Usage, preset
from advisor.advice.variants import variants
from advisor.basis import Basis
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.sampling import served_tps
from advisor.sizing.settings import RunSettings


def test_a_long_prompt_is_timed_roughly_as_it_is_exactly():
    """At the depth of its end a prompt of a million tokens takes five times as long."""
    usage = preset("single-million").apply(Usage())
    wanted = variants([model("deepseek-ai/DeepSeek-V4-Flash")], usage, RunSettings())
    rig = parse_rig("M3 Ultra 512GB")
    engine = Engine(RunSettings())
    exact, rough = (how(wanted[0], rig, usage, engine).run for how in (timed, roughly))
    assert rough.prefill_tps.mid == pytest.approx(exact.prefill_tps.mid, rel=0.05)


class TestTiming:
    @pytest.mark.parametrize(
        "rig",
        [
            "RTX 4090 + 64 GB DDR5-6000",
            "2x RTX 3090 + 64 GB DDR5-6000",
            "RTX 3060 12GB + 64 GB DDR5-6000",
            "M3 Ultra 96GB",
        ],
    )
    def test_rough_is_near_exact(self, rig):
        wanted = variants([model()], CHAT, RunSettings())[0]
        rough = roughly(wanted, parse_rig(rig), CHAT, Engine(RunSettings()))
        exact = timed(wanted, parse_rig(rig), CHAT, Engine(RunSettings()))
        assert rough is not None
        assert exact is not None
        assert rough.run is not None
        assert exact.run is not None
        assert rough.judgement.fits == exact.judgement.fits
        assert rough.run.decode_tps.mid == pytest.approx(exact.run.decode_tps.mid, rel=0.3)

    @pytest.mark.parametrize("cards", ["RTX 4090 + RTX 3060 12GB", "RTX 3060 12GB + RTX 4090"])
    def test_a_fast_card_is_filled_first_in_rough_sizes_too(self, cards):
        entry, rig = catalogue().find("Qwen/Qwen3-32B"), parse_rig(f"{cards} + 64 GB DDR5-6000")
        wanted = variants([entry.model("Q4_K_M")], CHAT, RunSettings())[0]
        rough = roughly(wanted, rig, CHAT, Engine(RunSettings()))
        exact = timed(wanted, rig, CHAT, Engine(RunSettings()))
        assert rough is not None
        assert exact is not None
        assert rough.run is not None
        assert exact.run is not None
        assert rough.run.decode_tps.mid == pytest.approx(exact.run.decode_tps.mid, rel=0.1)

    def test_a_processor_has_no_prompt_speed_before_a_probe(self):
        wanted = variants([model()], CHAT, RunSettings())[0]
        rig = parse_rig("CPU only 64 GB DDR5-5600")
        for how in (roughly, timed):
            outcome = how(wanted, rig, CHAT, Engine(RunSettings()))
            assert outcome is not None
            assert outcome.judgement.fits
            assert outcome.run is None
            assert outcome.notes[-1] == "its time for a prompt is not known"
            assert outcome.answer_tps is not None

    def test_what_a_probe_measured_replaces_the_prediction(self):
        wanted = variants([model()], CHAT, RunSettings())[0]
        probe = MeasuredRun(
            wanted.model.id, wanted.model.file_type, wanted.kv, 33.0, 900.0, 210.0, "probe of today"
        )
        engine = Engine(RunSettings(), measured=(probe,))
        known = timed(wanted, parse_rig("RTX 4090 + 64 GB DDR5-6000"), CHAT, engine)
        assert known is not None
        assert known.run is not None
        assert known.run.decode_tps.mid == 33.0
        assert known.run.basis is Basis.MEASURED
        assert known.run.power.basis is Basis.MEASURED
        assert not engine.elsewhere().measured

    @pytest.mark.parametrize("how", [roughly, timed])
    def test_answers_are_llama_servers(self, how):
        """Which chooses each token: llama-bench, and what it measured, leaves that out."""
        gpt = catalogue().find("openai/gpt-oss-20b").model("MXFP4_MOE")
        wanted, rig = variants([gpt], CHAT, RunSettings())[0], parse_rig("RTX 5090 + 64 GB")
        outcome = how(wanted, rig, CHAT, Engine(RunSettings()))
        deep = CHAT.prompt_tokens + CHAT.output_tokens // 2
        asked = wanted.settings(RunSettings(), CHAT).model_copy(update={"depth": deep})
        speed = size(gpt, rig, asked).speed
        assert outcome.run.decode_tps.mid == pytest.approx(served_tps(speed).mid, rel=1e-3)
        assert outcome.run.decode_tps.mid < 0.9 * speed.decode_tps.mid
        assert f"about {speed.decode_tps.mid:,.0f} tok/s" in outcome.notes[-1]
        for served in (True, False):
            probe = MeasuredRun(
                gpt.id, gpt.file_type, wanted.kv, 300.0, None, None, "probe", served=served
            )
            known = how(wanted, rig, CHAT, Engine(RunSettings(), measured=(probe,))).run
            seconds = 1 / 300 + (0 if served else speed.sampling_s)
            assert 1 / known.decode_tps.mid == pytest.approx(seconds)
