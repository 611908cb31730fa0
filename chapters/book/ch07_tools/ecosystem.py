"""Tools around diffusion models: what each is for, and what it is not for.

TOOLS is data that grows old; each entry says when it was looked up. Versions and months are those
of the Python package index on that day. Licences were read in the licence text inside the release
listed here, with three exceptions: ComfyUI and sd-scripts have no release there (their licence is
what their repositories say), and smalldiffusion prints its licence text in its metadata. Where a
release contradicts itself, the entry says so. Licences of model weights are another matter.
"""

from dataclasses import dataclass

LOOKED_UP = "2026-11-25"
UNCHECKED = "not checked"  # is no package of the index, or its release could not be confirmed


@dataclass(frozen=True)
class Tool:
    """One tool: ``version`` and its month of release as found on ``checked``, or UNCHECKED."""

    name: str
    version: str
    released: str
    licence: str
    link: str
    good_for: str
    not_for: str
    checked: str = LOOKED_UP


TOOLS = (
    Tool(
        "diffusers", "0.42.1", "2026-10", "Apache-2.0", "https://github.com/huggingface/diffusers",
        "running and fine-tuning published models; nearly every one has a pipeline there",
        "learning how a sampler works: the same step is spread over dozens of scheduler files",
    ),
    Tool(
        "k-diffusion", "0.1.1.post1", "2023-12", "MIT", "https://github.com/crowsonkb/k-diffusion",
        "reading the samplers over sigma, and the names under which most user interfaces list them",
        "new projects: no release since 2023, and it pulls in a long list of packages",
    ),
    Tool(
        "ComfyUI", UNCHECKED, UNCHECKED, "GPL-3.0", "https://github.com/Comfy-Org/ComfyUI",
        "building a picture by hand from a graph of models, samplers and editing steps",
        "batch experiments with a seed, a table and a test; and mind the licence in a product",
    ),
    Tool(
        "accelerate", "1.15.0", "2026-09", "Apache-2.0", "https://github.com/huggingface/accelerate",
        "one training loop for a laptop, mixed precision and several GPUs (this book uses it)",
        "telling you whether the loop is right: it runs a wrong one on eight GPUs just as well",
    ),
    Tool(
        "peft", "0.21.2", "2026-10", "Apache-2.0", "https://github.com/huggingface/peft",
        "LoRA and other small additions to a large frozen network, saved as a few megabytes",
        "training from nothing, or teaching what the base model has never seen",
    ),
    Tool(
        "sd-scripts", UNCHECKED, UNCHECKED, "Apache-2.0, parts MIT and BSD",
        "https://github.com/kohya-ss/sd-scripts",
        "LoRA and DreamBooth training of Stable Diffusion with many options, as the community does",
        "reading: much of its knowledge is in the options; results depend on dozens of them",
    ),
    Tool(
        "torchmetrics", "1.9.0", "2026-03", "Apache-2.0",
        "https://github.com/Lightning-AI/torchmetrics",
        "FID, KID, CLIP score and many others with one interface, also across processes",
        "figures to compare with a paper, until resizing and weights are the same as theirs",
    ),
    Tool(
        "clean-fid", "0.1.35", "2022-12", "MIT (its metadata say BSD)",
        "https://github.com/GaParmar/clean-fid",
        "an FID whose resizing and file format are fixed, with statistics of common data sets",
        "small samples and other domains: the usual features come from photographs (ImageNet)",
    ),
    Tool(
        "torch-fidelity", "0.4.0", "2026-02", "Apache-2.0",
        "https://github.com/toshas/torch-fidelity",
        "FID, KID and precision/recall that agree with the original TensorFlow code",
        "prompts: it compares sets of pictures and does not read a caption",
    ),
    Tool(
        "open-clip-torch", "3.3.0", "2026-02", "MIT", "https://github.com/mlfoundations/open_clip",
        "CLIP models and their text and image features, for a CLIP score of your own",
        "counting and relations: CLIP sees words more than their order (chapter 5.5)",
    ),
    Tool(
        "hpsv2", "1.2.0", "2024-02", "Apache-2.0", "https://github.com/tgxs002/HPSv2",
        "a score trained on people's choices between pictures for the same prompt",
        "an absolute grade, or a training goal (see below); it also pins old versions of packages",
    ),
    Tool(
        "smalldiffusion", "0.5.0", "2026-04", "MIT",
        "https://github.com/yuanchenyang/smalldiffusion",
        "diffusion models in 900 lines, U-Net and transformer included, to read in one sitting",
        "latent models and text at scale; it is made to be small",
    ),
    Tool(
        "azula", "0.11.1", "2026-04", "MIT", "https://github.com/probabilists/azula",
        "clean research code: schedule, denoiser, sampler and guidance as separate parts",
        "a course: it is a library, and explains itself in docstrings",
    ),
)  # fmt: skip


def table() -> str:
    """TOOLS as Markdown."""
    lines = ["| tool | version | licence | best for | not for |", "|---|---|---|---|---|"]
    for tool in TOOLS:
        when = "" if tool.released == UNCHECKED else f" ({tool.released})"
        lines.append(
            f"| [{tool.name}]({tool.link}) | {tool.version}{when} | {tool.licence} "
            f"| {tool.good_for} | {tool.not_for} |"
        )
    return "\n".join(lines)
