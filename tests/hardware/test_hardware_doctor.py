"""The doctor speaks up when it should, keeps quiet when all is well, and tells nothing personal."""

import getpass
import platform
from pathlib import Path

import pytest
from fake_nvml import MIB, SCENARIOS, Machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.hardware import detect
from advisor.hardware.compose import parse_rig
from advisor.hardware.doctor import examine
from advisor.hardware.report import facts, report, without_names
from advisor.hardware.rig import Device, Host, Process, Reading, Rig
from advisor.units import GIB


def codes(rig: Rig) -> set[str]:
    return {finding.code for finding in examine(rig)}


HEALTHY = Host(ram_total=64 * GIB, ram_bandwidth_gbs=96, ram_bandwidth_source="measured")


def test_a_healthy_rig_needs_no_doctor(machine: Machine):
    machine.become("rtx-4090")
    rig = detect().model_copy(update={"hosts": (HEALTHY,)})
    assert examine(rig) == ()
    assert examine(parse_rig("2x RTX 4090 + 128 GB DDR5-6000")) == ()


@pytest.mark.parametrize(("card", "own"), [("RTX 4090", True), ("RX 7900 XTX", False)])
def test_a_power_limit_is_taken_back_by_the_cards_own_tool(card: str, own: bool):
    rig = parse_rig(f"{card} + 64 GB DDR5-6000")
    limited = rig.devices[0].model_copy(update={"power_limit_w": 200.0, "power_default_w": 355.0})
    rig = rig.model_copy(update={"devices": (limited,), "imagined": False})
    (found,) = (f for f in examine(rig) if f.code == "power-limit")
    assert ("nvidia-smi -pl 355" in found.advice) == own
    assert "default" in found.advice


@pytest.mark.parametrize(
    ("scenario", "code", "says"),
    [
        ("mixed", "pcie-width", "x4 slot; the card has x16"),
        ("mixed", "power-limit", "250 W of 350 W"),
        ("mixed", "mixed-speeds", "RTX 3090"),
        ("busy", "memory-held", "firefox 9.0 GiB, game.exe 6.0 GiB"),
        ("busy", "throttled", "power limit, temperature"),
        ("mig", "ignored", "one MIG slice"),
        ("mig", "ignored", "2x H100 SXM MIG 1g.10gb are not counted"),
        ("mig-empty", "not-usable", "no slice"),
        ("old-driver", "driver-old", "CUDA 11.4"),
        ("wddm", "spill", "Prefer No Sysmem Fallback"),
        ("unknown-card", "unlisted", "nothing was guessed"),
        ("off-the-bus", "not-usable", "fallen off the bus"),
        ("driver-updated", "not-usable", "not restarted"),
        ("nothing-but-a-name", "memory-unknown", "not reported"),
        ("nothing-but-a-name", "bandwidth-unknown", "no speed can be predicted"),
        ("no-gpu", "no-gpu", "run on the CPU"),
    ],
)
def test_scenarios(machine: Machine, scenario: str, code: str, says: str):
    machine.become(scenario)
    findings = [f for f in examine(detect()) if f.code == code]
    assert findings
    assert any(says in f"{f.sentence} {f.advice}" for f in findings)


def test_graver_findings_come_first(machine: Machine):
    machine.become({**SCENARIOS["off-the-bus"], "0.throttle": 0x4, "0.used": 9000 * MIB})
    severities = [f.severity for f in examine(detect())]
    ranks = ["problem", "warning", "info"]
    assert severities == sorted(severities, key=ranks.index)
    assert severities[0] == "problem"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"swap_used": GIB}, "swap"),
        ({"wsl": True}, "wsl-memory"),
        ({"on_battery": True}, "battery"),
        ({"disk_free": GIB}, "disk"),
        ({"ram_bandwidth_gbs": None}, "ram-bandwidth"),
        (
            {"ram_bandwidth_source": "SMBIOS: 1 channel × 4800 MT/s × 8 B, theoretical"},
            "one-channel",
        ),
    ],
)
def test_host(change: dict[str, object], code: str):
    before = Rig(name="x", hosts=(HEALTHY,))
    after = Rig(name="x", hosts=(HEALTHY.model_copy(update=change),))
    assert codes(after) - codes(before) == {code}


def test_sources_that_disagree_are_both_told():
    device = Device(
        name="RTX 4090",
        vendor="NVIDIA",
        backend="cuda",
        table_id="GeForce RTX 4090",
        memory_total=24 * GIB,
        bandwidth_gbs=1008,
        sources={"bandwidth_gbs": "GPU table", "memory_total": "NVML"},
        alternatives={
            "bandwidth_gbs": (Reading(value=576.0, source="driver clocks"),),
            "memory_total": (Reading(value=24.2 * GIB, source="engine"),),
        },
    )
    found = [f for f in examine(Rig(name="x", devices=(device,))) if f.code == "conflict"]
    (finding,) = found
    assert finding.device_index == 0
    for word in ("1,008.0 GB/s", "GPU table", "576.0 GB/s", "driver clocks"):
        assert word in finding.text


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("kernel (fdinfo): this user's programs", "9.0 GiB, and 6.0 GiB that the system"),
        ("kernel (fdinfo)", "firefox 9.0 GiB."),
    ],
)
def test_what_cannot_be_listed_is_said(source: str, says: str):
    device = Device(
        name="RX 7900 XTX",
        vendor="AMD",
        backend="vulkan",
        memory_total=24 * GIB,
        memory_used=15 * GIB,
        processes=(Process(pid=1, name="firefox", memory=9 * GIB),),
        sources={"processes": source},
    )
    (finding,) = (f for f in examine(Rig(name="x", devices=(device,))) if f.code == "memory-held")
    assert says in finding.text


def test_an_imagined_rig_has_no_condition():
    rig = parse_rig("RTX 4090 + 64 GB")
    busy = rig.devices[0].model_copy(update={"memory_used": 20 * GIB, "throttle": ("power limit",)})
    imagined = rig.model_copy(update={"devices": (busy,)})
    assert codes(imagined) == {"ram-bandwidth"}
    assert {"memory-held", "throttled"} <= codes(imagined.model_copy(update={"imagined": False}))


@pytest.mark.parametrize(
    ("words", "says"),
    [("M4 Max 64GB", "iogpu.wired_limit_mb"), ("Strix Halo 128GB", "ttm.pages_limit")],
)
def test_what_a_shared_pool_allows(words: str, says: str):
    rig = parse_rig(words).model_copy(update={"imagined": False})
    (finding,) = (f for f in examine(rig) if f.code == "memory-limit")
    assert says in finding.advice
    assert "GiB of" in finding.title
    assert "memory-limit" not in codes(parse_rig(words))


@pytest.mark.parametrize(
    ("capability", "cuda", "windows", "found"),
    [
        # Finished code for RTX 30 and 40: any driver of a CUDA's major version starts it.
        (89, 13000, False, set()),
        (89, 13040, True, set()),
        (89, 12080, False, {"cuda-13"}),
        (89, 12030, True, {"cuda-13"}),
        (86, 12000, False, {"cuda-13"}),
        (86, 11080, False, {"driver-old"}),
        # PTX for the others, which a driver of a later minor version alone translates.
        (75, 12020, True, {"driver-old"}),
        (75, 12040, True, {"cuda-13"}),
        (75, 12040, False, {"driver-old"}),  # published for Linux with CUDA 12.8
        (90, 12080, False, {"cuda-13"}),
        (90, 13000, False, {"cuda-13"}),  # published with CUDA 13.4
        (90, 13040, False, set()),
        (61, 13000, False, {"cuda-13"}),
        (61, 12020, False, {"cuda-13", "driver-old"}),
        (120, 12080, False, {"cuda-13"}),
        (120, 12070, False, {"cuda-13"}),  # newer than its first driver: CUDA 12.8 starts on it
        (120, 12080, True, {"cuda-13"}),  # by translating what CUDA 12.4 wrote
    ],
)
def test_which_builds_a_driver_can_start(
    machine: Machine, *, capability: int, cuda: int, windows: bool, found: set[str]
):
    facts = {"cuda": cuda, "0.capability": capability}
    machine.become({**SCENARIOS["rtx-4090"], **facts})
    rig = detect()
    (device,) = rig.devices
    if windows:
        device = device.model_copy(update={"driver_model": "WDDM"})
    said = examine(rig.model_copy(update={"devices": (device,)}))
    assert {finding.code for finding in said} & {"cuda-13", "driver-old"} == found
    for finding in said:
        if finding.code == "driver-old" and cuda >= 12000:
            assert "starts, but" in finding.text
            assert f"{capability // 10}.{capability % 10}" in finding.text


def test_pascal_is_told_about_cuda_13():
    rig = parse_rig("Tesla P40 + 32 GB DDR4-2400").model_copy(update={"imagined": False})
    assert "cuda-13" in codes(rig)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_report_is_complete_and_holds_nothing_personal(machine: Machine, scenario: str):
    machine.become(scenario)
    rig = detect(models=Path("~/secret-project/models").expanduser())
    text = report(rig)
    for device in rig.devices:
        assert device.name in text
        for reason in device.unknown.values():
            assert reason in text
    for private in ("firefox", "game.exe", "secret", "GPU-0000", "MIG-0000", "00000000:0"):
        assert private not in text
    assert str(Path("~").expanduser()) not in text


WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=12).map("q{}z".format)
"""A word that no sentence of ours holds."""


@st.composite
def owners(draw: st.DrawFn) -> dict[str, str]:
    """Somebody, a computer, and what identifies its parts."""
    user, node = draw(WORD), draw(WORD)
    home = draw(st.sampled_from(["/home/{}", "/Users/{}", "C:\\Users\\{}", "/data/people/{}"]))
    return {
        "user": user,
        "node": node,
        "home": home.format(user),
        "other": draw(WORD),
        "uuid": str(draw(st.uuids())),
        "serial": draw(st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", fullmatch=True)),
        "program": draw(WORD),
    }


@given(owners(), st.sampled_from(sorted(SCENARIOS)), st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_owner_is_found_in_a_report(machine: Machine, owner, scenario, data):
    """Names and identifiers in every field that the system fills, and in what went wrong."""
    machine.become(scenario)
    places = [
        owner["home"],
        f"{owner['home']}/models",
        f"/home/{owner['other']}/x",
        f"'/mnt/{owner['other']}/our {owner['program']}'",
        f"/media/{owner['user']}/stick of {owner['other']}/x",
        f"\\\\{owner['node']}\\{owner['other']}",
        f"smb://{owner['node']}.{owner['other']}/{owner['program']}",
        f"E:\\{owner['other']}\\{owner['program']}.gguf",
        f"{owner['user']}@{owner['node']}",
        f"GPU-{owner['uuid']}",
        owner["serial"],
    ]
    said = st.sampled_from(places).map("reading {} failed".format)
    rig = detect()
    devices = tuple(
        device.model_copy(
            update={
                "uuid": f"GPU-{owner['uuid']}",
                "pci_address": f"0000:{owner['program']}",
                "processes": (Process(pid=7, name=owner["program"], memory=9 * GIB),),
                "memory_used": 9 * GIB,
                "unknown": device.unknown | {"ecc": data.draw(said)},
                "sources": device.sources | {"driver": data.draw(said)},
            }
        )
        for device in rig.devices
    )
    host = rig.host.model_copy(
        update={
            "name": owner["node"],
            "disk_path": f"{owner['home']}/models",
            "disk_free": GIB,
            "unknown": rig.host.unknown | {"cpu": data.draw(said), "laptop": data.draw(said)},
        }
    )
    update = {"devices": devices, "hosts": (host,), "problems": (data.draw(said),)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", owner["home"])
        patch.setattr(getpass, "getuser", lambda: owner["user"])
        patch.setattr(platform, "node", lambda: f"{owner['node']}.example")
        text = report(rig.model_copy(update=update)).lower()
    for secret in owner.values():
        assert secret.lower() not in text


@pytest.mark.parametrize("user", ["al", "x", "tom"])
def test_a_short_name_is_taken_out_of_paths_alone(user: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/srv/nobody")
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    monkeypatch.setattr(platform, "node", lambda: "pc")
    text = without_names(f"x al tom: /mnt/{user}/models and D:\\{user}\\models, or /mnt/{user}")
    assert text == "x al tom: /mnt/USER/models and D:\\USER\\models, or /mnt/USER"


def test_a_home_with_blanks_is_taken_out_as_windows_writes_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.path.expanduser", lambda _path: "C:\\Users\\Anna Berg")
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    monkeypatch.setattr(platform, "node", lambda: "berghof.example.org")
    said = (
        "'c:\\\\users\\\\anna berg\\\\x.gguf' on BERGHOF.example.org, C:\\Users\\Anna Berg, "
        "C:\\Users\\Tom Sawyer\\y, Anna Berg"
    )
    assert without_names(said) == "'~\\\\x.gguf' on HOST, ~, C:\\Users\\USER\\y, USER"


def test_names_are_taken_out_wherever_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/mathilda")
    monkeypatch.setattr(getpass, "getuser", lambda: "mathilda")
    monkeypatch.setattr(platform, "node", lambda: "battlestation.lan")
    text = without_names("/home/mathilda/x on Battlestation, by Mathilda (mathilda's); workstation")
    assert text == "~/x on HOST, by USER (USER's); workstation"


def test_common_words_survive(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    monkeypatch.setattr(platform, "node", lambda: "pc")
    assert without_names("the CPU's root complex of this pc") == "the CPU's root complex of this pc"


def test_every_fact_has_its_source_or_its_reason(machine: Machine):
    machine.become("laptop")
    device = detect().devices[0]
    rows = {fact.name: fact for fact in facts(device)}
    assert rows["memory_total"].value == "15.7 GiB"
    assert rows["memory_total"].source.startswith("NVML")
    assert rows["memory_total"].others
    assert rows["utilisation"].value == "unknown"
    assert "not reported" in rows["utilisation"].source
    assert not rows["utilisation"].known
    assert rows["compute_capability"].value == "8.9"
    assert rows["pcie"].value == "PCIe 1 x8 now, PCIe 4 x8 at best"
