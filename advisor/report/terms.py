"""What the words mean, in words that need no others: for a report's readers and for newcomers."""

from typing import Final

MEANINGS: Final[dict[str, str]] = {
    "Model": "A language model: a file of numbers (weights) that continues a text. Larger ones are "
    "abler, slower, and need more memory.",
    "Parameters (8B, 30B-A3B)": "How many numbers a model has: 8B are 8 billion. Of 30B-A3B only "
    "3 billion work on each token, so it is as fast as a small one and as large as a big one.",
    "Experts (mixture of experts, MoE)": "Parts of some models of which only a few work on each "
    "token. They may lie in RAM while the rest is on the graphics card.",
    "Token": "A piece of text, about ¾ of an English word.",
    "tok/s": "Tokens per second. People read about 5 to 10; a slower answer keeps them waiting.",
    "GGUF": "The kind of file that llama.cpp, Ollama and LM Studio load a model from.",
    "Quantization": "Storing a model's numbers in fewer bits: smaller and faster, less exact.",
    "Q8_0, Q4_K_M, IQ3_XXS …": "File types: how a model is quantized. The digit is about how many "
    "bits a weight has: Q8_0 loses next to nothing, Q4_K_M a little; below 3 bits much is lost.",
    "Quality loss": "What a file type costs in ability, as measured on models of that size: from "
    "near lossless through small, noticeable and heavy to broken.",
    "Perplexity": "How surprised a model is by a text; a few per cent more is hardly noticed.",
    "Index": "How able a model is, by the Artificial Analysis Intelligence Index; ~: estimated.",
    "VRAM": "The memory of the graphics card. A model is fast while it fits in there.",
    "RAM": "The computer's own memory, several times slower for this than VRAM.",
    "Part in RAM": "What does not fit in VRAM is kept in RAM. It runs, but slower.",
    "Bandwidth": "How fast memory is read, in GB a second. Every token reads the model once (of a "
    "mixture of experts a part), so it decides how fast a model writes.",
    "GiB": "A unit of memory: 2³⁰ bytes. What is sold as 8 GB of memory is 8 GiB.",
    "Context": "How many tokens (about ¾ of a word each) the model can look back on.",
    "KV cache": "Memory for that context; it grows with its length.",
    "Compute buffer": "Memory for the intermediate results while it computes.",
    "Driver": "What the graphics driver takes of a card's memory for itself.",
    "Headroom": "Memory left free while the model runs.",
    "Prefill, decode": "Reading the prompt; writing the answer, one token at a time.",
    "First token": "How long it takes until the answer begins: the prompt has to be read first.",
    "Prompt": "What is given to the model to read: a question, and often what was said before.",
    "Slots (parallel)": "How many answers are written at once.",
    "llama.cpp, llama-server": "The free program that runs models on one's own machine; the second "
    "is the part of it that answers other programs.",
    "Probe": "A short run of llama.cpp here that measures speed and memory; from then on the "
    "figures of this machine follow it.",
    "Ghost": "A stand-in for a model that is not downloaded: a file of its shape without weights. "
    "It takes the same memory and time, and writes nonsense.",
    "Dry run": "llama.cpp is asked how much memory it would take, and loads nothing.",
    "PCIe x16, x8, x4": "The slot of a graphics card: how fast data get in and out.",
    "API": "A provider's model over the internet, paid for by the token.",
    "Break-even": "The requests a month from which a machine of one's own is cheaper than an API.",
    "c, d, m": "Where a figure comes from: computed by this app, told by llama.cpp in a dry run, "
    "or measured. What nobody knows is called unknown.",
}  # fmt: skip
"""In the order in which one meets them."""
