"""Words that people use of a machine, in lower case, and what they are of."""

import re

MAX_WORDS = 9
"""The longest name of the table has eight."""
DDR = re.compile(r"(?:lp)?ddr[345]x?(?:-\d{3,5})?")
RAM_SIZES = {base * 2**step for base in (2, 3) for step in range(12)}
RAM_WORDS = frozenset(["ram", "memory", "dram", "sodimm", "dimm"])
RAM_IDLE = re.compile(
    r"ecc|reg|registered|[ru]dimm|dimms|of|at|@|cl\d+|cas\d+|sticks?|modules?|kit|system|mhz|mt/s"
)
DISK = frozenset(["ssd", "nvme", "hdd", "disk", "storage", "m.2"])
CPU = re.compile(
    r"ryzen|epyc|threadripper|xeon|opteron|athlon|celeron|pentium|altra|graviton\d?|snapdragon"
    r"|n50|n95|n97|n100|n150|n200|n305|n355|raspberry|core|ultra|i[3579](?:-\w+)?|e[357]-\w+"
    r"|\d{4,5}(?:x3d|xt|kf|ks|k|x|f|g|ge|gt|hx|hs|h|u|t|wx|p)|[123]\d{2}(?:kf|k|h|u|t|v)|[23]\d{2}hx"
)
GOES_ON = {"core": re.compile(r"ultra|i[3579]|\d"), "ultra": re.compile(r"x?[3579]$|\d{3}[a-z]")}
"""What stands behind these words where they begin a processor's name."""
# Makers of boards and their series: the chip on them is the same.
MAKERS = re.compile(
    r"acer|aero|amd|amp|aorus|apple|aqua|asrock|astral|asus|ati|battlemage|black|blower|challenger"
    r"|colorful|dell|devil|dual|eagle|elite|evga|extreme|fe|fighter|founders|ftw|ftw3|gainward|galax|gamerock|gaming|gigabyte|hellhound|hp|hybrid"
    r"|ichill|igame|inno3d|intel|kfa2|lenovo|maxsun|legend|master|merc|mercury|msi|nitro|nitro\+|nvidia|oc|noctua|palit"
    r"|phantom|pny|powercolor|prime|proart|pulse|red|reference|rog|sapphire|sparkle|speedster|strix"
    r"|solid|steel|suprim|taichi|trinity|trio|tuf|turbo|twin|ultra|vanguard|ventus|verto|waterforce|white|windforce|xc3|xfx|xlr8|xtreme"
    r"|zotac"
)
IDLE = re.compile(
    r"a|air|all|an|box|bridge|build|card|cards|computer|computers|cpu|cuda|desktop|each|edge|edition"
    r"|gddr5|gddr6|gddr6x|gddr7|gpu|gpus|graphics|have|hbm2|hbm2e|hbm3|hbm3e|home|i|in|machine"
    r"|mini|my|node|nvlink|nvlinked|of|on|over|pc|pcs|processor|rig|riser|rocm|server|setup|silicon|sli|system|the"
    r"|total|tower|via|vram|workstation|x"
)
GPU_WORDS = re.compile(r"cmp|rtx|gtx|rx|arc|radeon|geforce|tesla|quadro|titan|instinct")
LINK = re.compile(r"x\d+|gen\d|\d(\.\d)?")
