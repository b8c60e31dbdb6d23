"""Rigs of several machines: as words, as edits, as files, and what each machine keeps."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import RigError
from advisor.hardware import edits, network
from advisor.hardware.compose import describe_rig, parse_rig
from advisor.hardware.report import report
from advisor.hardware.saved import rig_from_json, rig_to_json
from advisor.units import GIB

WORDS = (
    "2x RTX 3090 + 64 GB DDR4-3200 over 10GbE with RTX 4090 + 32 GB DDR5-5600 "
    "over 1GbE with M2 Ultra 192GB"
)


def test_every_machine_is_joined_to_the_first():
    rig = parse_rig(WORDS)
    assert rig.name == WORDS
    # llama.cpp puts the devices of RPC servers at the front.
    assert [(d.name, d.host_index) for d in rig.devices] == [
        ("RTX 4090", 1),
        ("M2 Ultra", 2),
        ("RTX 3090", 0),
        ("RTX 3090", 0),
    ]
    assert [host.ram_total for host in rig.hosts] == [64 * GIB, 32 * GIB, 192 * GIB]
    assert rig.host.ram_bandwidth_gbs == pytest.approx(51.2)
    assert [(x.name, x.from_host, x.to_host, x.bandwidth_gbs) for x in rig.links] == [
        ("10GbE", 0, 1, 1.25),
        ("1GbE", 0, 2, 0.125),
    ]
    assert rig.link_to(2) is rig.links[1]
    assert rig.link_to(3) is None
    assert rig_from_json(rig_to_json(rig)) == rig


@pytest.mark.parametrize(
    "words",
    [
        "RTX 4090 + 64 GB over 10GbE at 200 µs with RTX 3090",
        "RTX 4090 over 25 Gbit/s at 30 µs with RTX 3090 + 32 GB 90 GB/s",
        "RTX 3090 + RTX 4090 + RTX 3090 + 768 GB 12-channel DDR5-4800 over 1GbE with P40",
    ],
)
def test_what_was_stated_is_still_in_a_rigs_words(words: str):
    rig = parse_rig(words)
    assert describe_rig(rig) == words
    assert parse_rig(describe_rig(rig)) == rig


def test_a_network_may_stand_before_its_machine_in_other_words():
    joined = parse_rig("RTX 4090 connected by 10GbE to RTX 3090")
    assert joined.links == parse_rig("RTX 4090 over 10GbE with RTX 3090").links


@pytest.mark.parametrize(
    ("words", "gbs", "latency"),
    [
        ("10GbE", 1.25, 50),
        ("10 GbE", 1.25, 50),
        ("gigabit ethernet", 0.125, 100),
        ("2.5 Gbit/s", 0.3125, 90),
        ("50 Gbps", 6.25, 25),
        ("1.25 GB/s", 1.25, 50),
        ("500 Mbit/s", 0.0625, 150),
        # A capital B is a byte, but in “GBE”.
        ("1GBps", 1, 70),
        ("500 MB/s", 0.5, 90),
        ("1000 mb/s", 0.125, 100),
        ("10GBE", 1.25, 50),
        ("10G", 1.25, 50),
        ("2.5G", 0.3125, 90),
        ("Thunderbolt 4", 2.5, 150),
        ("usb4", 2.5, 150),
        ("Thunderbolt 5 RDMA", 5, 30),
        ("10GbE at 12 µs", 1.25, 12),
        ("25GbE (0.03 ms)", 3.125, 30),
    ],
)
def test_networks(words: str, gbs: float, latency: float):
    rig = parse_rig(f"RTX 4090 + 64 GB over {words} with RTX 3090 + 32 GB")
    (link,) = rig.links
    assert link.bandwidth_gbs == pytest.approx(gbs)
    assert link.latency_us == pytest.approx(latency)
    stated = "µs" in words or "ms)" in words
    assert (link.source == "as you wrote") == stated
    assert (link.latency_range_us is None) == stated
    if link.latency_range_us is not None:
        assert link.latency_range_us[0] <= latency <= link.latency_range_us[1]
        assert "to" in report(rig).split(" µs (")[1][:12]


def test_every_network_says_where_its_latency_is_from():
    for known in network.networks():
        assert known.source, known.name
        assert known.latency_range_us is not None, known.name
        low, high = known.latency_range_us
        assert 0 < low <= known.latency_us <= high, known.name


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("RTX 4090 over bananas with RTX 3090", "The network “bananas” is not known"),
        ("RTX 4090 over 0GbE with RTX 3090", "is not known"),
        ("RTX 4090 over 10GbE with two cats", "not in the GPU table"),
        ("RTX 4090 over 10GbE with ", "which machines are joined"),
        ("2x DGX Spark", "DGX Spark over 10GbE with DGX Spark"),
    ],
)
def test_what_is_not_understood_is_said(words: str, says: str):
    with pytest.raises(RigError) as caught:
        parse_rig(words)
    assert says in str(caught.value)


def test_a_machine_without_a_gpu_serves_its_cpu():
    rig = parse_rig(
        "RTX 4090 + 64 GB DDR5-5600 over 25GbE with EPYC 9654 + 512 GB 12-channel DDR5-4800"
    )
    served = rig.devices[0]
    assert (served.backend, served.host_index) == ("cpu", 1)
    assert served.name == "EPYC 9654"
    assert served.memory_total == 508 * GIB  # 4 GiB are left to its system
    assert served.bandwidth_gbs == pytest.approx(460.8)
    assert rig.host.ram_total == 64 * GIB


def test_words_describe_the_rig_that_they_made():
    rig = parse_rig(WORDS)
    again = parse_rig(describe_rig(rig))
    assert [d.name for d in again.devices] == [d.name for d in rig.devices]
    assert [h.ram_total for h in again.hosts] == [h.ram_total for h in rig.hosts]
    assert again.links == rig.links
    small = parse_rig("M2 Ultra 64GB + 64 GB")
    assert describe_rig(parse_rig(describe_rig(small))) == "M2 Ultra 64GB"


def test_machines_are_added_and_removed():
    rig = parse_rig("RTX 4090 + 64 GB DDR5-5600")
    two = edits.add(rig, "over 10GbE with 2x RTX 3090 + 32 GB DDR4-3200")
    assert two.name == "RTX 4090 + 64 GB DDR5-5600 over 10GbE with 2x RTX 3090 + 32 GB DDR4-3200"
    more = edits.add_devices(two, "RTX 5090", host_index=1)
    assert [(d.name, d.host_index) for d in more.devices] == [
        ("RTX 3090", 1),
        ("RTX 3090", 1),
        ("RTX 5090", 1),
        ("RTX 4090", 0),
    ]
    swapped = edits.swap_device(more, 2, "RTX 5080")
    assert swapped.devices[2].host_index == 1
    three = edits.add_machine(two, "M4 Pro 48GB", "Thunderbolt 5")
    assert [d.host_index for d in three.devices] == [1, 1, 2, 0]
    without = edits.remove_machine(three, 1)
    assert [(d.name, d.host_index) for d in without.devices] == [("M4 Pro", 1), ("RTX 4090", 0)]
    assert [(x.name, x.to_host) for x in without.links] == [("Thunderbolt 5", 1)]
    # The last GPU of a far machine takes the machine with it.
    assert edits.remove_device(without, 0).name == rig.name
    for bad in (
        lambda: edits.remove_machine(two, 0),
        lambda: edits.remove_machine(two, 2),
        lambda: edits.add_devices(rig, "RTX 3090 over 10GbE with RTX 3090"),
    ):
        with pytest.raises(RigError):
            bad()


def test_a_file_whose_network_leads_nowhere():
    data = json.loads(rig_to_json(parse_rig(WORDS)))
    data["links"][1]["to_host"] = 7
    with pytest.raises(RigError, match="leads to a host that is not there"):
        rig_from_json(data)


def test_the_report_names_machines_and_networks():
    text = report(parse_rig(WORDS))
    assert "Network between hosts 0 and 2: 1GbE, 0.125 GB/s, 100 µs" in text
    assert "Host 2" in text


@given(st.text(alphabet="RTX 4090+over10GbEwithand.µs()", max_size=60))
def test_any_words_give_a_rig_or_a_sentence(words: str):
    try:
        rig = parse_rig(words)
    except RigError:
        return
    assert len(rig.links) == len(rig.hosts) - 1
    assert len(network.split_machines(rig.name)) == len(rig.hosts)
