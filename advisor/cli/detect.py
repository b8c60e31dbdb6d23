"""`rig-advisor detect`: what this machine is, and what was not understood."""

import argparse

from advisor.cli.output import DONE, complain, say, say_json, table
from advisor.engine.machine import read_machine, with_engine
from advisor.hardware.bandwidth import measure_ram_bandwidth
from advisor.hardware.doctor import examine
from advisor.hardware.rig import Device, Rig
from advisor.hardware.visible import BUILDS, SEEN
from advisor.units import UNKNOWN
from advisor.units import size as people


def _bandwidth(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f} GB/s"


def _device(device: Device) -> list[str]:
    return [
        device.name,
        device.backend,
        people(device.memory_total),
        f"{people(device.memory_used)} used",
        _bandwidth(device.bandwidth_gbs),
    ]


def show(rig: Rig) -> None:
    """A rig for people."""
    host = rig.host
    say(f"{rig.name}: {host.cpu or 'CPU unknown'}, {host.os}")
    table(
        [
            *(_device(device) for device in rig.devices),
            [
                "RAM",
                "cpu",
                people(host.ram_total),
                f"{people(host.ram_available)} free",
                _bandwidth(host.ram_shown[0]),
            ],
        ],
        right=2,
    )
    for finding in examine(rig):
        say(f"{finding.severity}: {finding.sentence} {finding.advice}".rstrip())
    for field, why in {**host.unknown}.items():
        say(f"unknown: {field}: {why}")
    for device in rig.devices:
        for field, why in device.unknown.items():
            if field not in {BUILDS, SEEN}:  # the findings have told them
                say(f"unknown: {device.name}: {field}: {why}")


def run(arguments: argparse.Namespace) -> int:
    """Detect this machine and print it."""
    rig = read_machine()
    if arguments.measure:
        measure_ram_bandwidth(rig.host.cpu)
        rig = read_machine()
    if arguments.json:
        rig = with_engine(rig)
        say_json(rig.model_dump(mode="json"))
    else:
        show(rig)
        if rig.host.ram_bandwidth_gbs is None:
            complain("“rig-advisor detect --measure” measures the RAM's bandwidth in a second.")
    return DONE
