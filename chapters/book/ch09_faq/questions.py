"""The questions of chapter 9: who asked them where, which cell answers, where to read on.

    QUESTIONS  all of them, in the order of the chapter
    TRAPS      traps that a book on diffusion must not leave out; each is some question's
    contents   the linked list at the head of the chapter
    link       "owner/repo#12" or a web address as a link
    anchor     where a heading is found on a page

The questions are in our words. Each was asked in public, by somebody else, in the threads named.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

GITHUB = re.compile(r"([\w.-]+/[\w.-]+)#(\d+)")

TRAPS = (
    "q(z_{t-1} | z_t) taken for q(z_{t-1} | z_t, z_0)",
    "sigma_t^2 taken for beta_t",
    "short T with the betas of a long one",
    "betas from linspace(1/T, 1)",
    "SNR_T that is not zero",
    "eps subtracted as it is",
    "noise at the last step",
    "index base",
    "guidance w taken for 1 + w",
    "concatenation where attention belongs",
    "L_simple taken for the bound",
    "a latent scale copied, not measured",
    "latents of another scale under the same schedule",
)


class Question(NamedTuple):
    """``asked``: threads, as "owner/repo#12" or an address; ``cell``: the name of the code cell
    that answers; ``more``: the chapter to read on; ``trap``: an entry of ``TRAPS``, or ""."""

    id: str
    title: str
    asked: tuple[str, ...]
    cell: str
    more: str
    trap: str = ""

    @property
    def heading(self) -> str:
        """The question as a heading: "Q1 How can I ..."; no sign that an anchor cannot have."""
        return f"{self.id} {self.title}"


class Theme(NamedTuple):
    """A part of the chapter."""

    name: str
    questions: tuple[Question, ...]


def link(thread: str) -> str:
    """A thread as Markdown: "owner/repo#12" leads to the issue, an address to itself.

    Raises ValueError for anything else.
    """
    if match := GITHUB.fullmatch(thread):
        return f"[{thread}](https://github.com/{match[1]}/issues/{match[2]})"
    if thread.startswith("https://"):
        return f"[{thread.removeprefix('https://').split('/')[0]}]({thread})"
    raise ValueError(f"a thread is 'owner/repo#12' or an https address; got {thread!r}")


def anchor(heading: str) -> str:
    """The heading's place on the page, as JupyterLab and nbconvert name it: blanks become hyphens.

    Raises ValueError for signs that the two treat differently.
    """
    if not re.fullmatch(r"[A-Za-z0-9 -]+", heading):
        raise ValueError(f"use letters, digits, blanks and hyphens only; got {heading!r}")
    return "#" + heading.replace(" ", "-")


def contents(themes: Iterable[Theme] | None = None) -> str:
    """All questions as a linked list in Markdown, under the names of their themes."""
    lines = []
    for theme in THEMES if themes is None else themes:
        lines += ["", f"**[{theme.name}]({anchor(theme.name)})**", ""]
        lines += [f"- [{q.heading}]({anchor(q.heading)})" for q in theme.questions]
    return "\n".join(lines[1:])


# fmt: off
THEMES = (
    Theme("Checking and learning", (
        Question("Q1", "How can I verify my implementation",
                 ("alan-turing-institute/icenet-mp#35",), "q1-verify", "04_3_gaussian_case"),
        Question("Q2", "My loss is stuck so which loss is good",
                 ("PRBonn/LiDiff#27", "zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#5"),
                 "q2-floor", "05_3_training"),
        Question("Q3", "Why does the loss jump up and down",
                 ("ermongroup/ddim#33", "modelscope/DiffSynth-Studio#964"), "q3-jumps",
                 "05_3_training"),
        Question("Q4", "Which learning rate and which batch size",
                 ("jasonyzhang/RayDiffusion#20", "KaiChen1998/GeoDiffusion#17"), "q4-rates",
                 "05_3_training"),
        Question("Q5", "Why does everybody average the weights",
                 ("atong01/conditional-flow-matching#152", "konpatp/diffae#16",
                  "huggingface/lerobot#134"), "q5-average", "05_3_training"),
        Question("Q6", "How many pictures do I need",
                 ("lucidrains/denoising-diffusion-pytorch#87", "sshh12/terrain-diffusion#7"),
                 "q6-pictures", "05_3_training"),
        Question("Q7", "Has my model only memorised the training pictures",
                 ("mueller-franzes/medfusion#20",), "q7-copies", "06_applications"),
        Question("Q8", "Can I train on a laptop without a GPU",
                 ("Jack000/glid-3-xl-stable#7",), "q8-laptop", "03_algorithm"),
        Question("Q9", "How much GPU memory do I need",
                 ("openai/guided-diffusion#32",), "q9-memory", "05_6_gpu"),
    )),
    Theme("What the network predicts", (
        Question("Q10", "Why predict the noise and not the image",
                 ("https://community.deeplearning.ai/t/question-on-noise-prediction/348888",
                  "bwconrad/decoder-denoising#3"), "q10-targets", "04_2_derivations"),
        Question("Q11", "May I subtract the predicted noise",
                 ("tyxsspa/AnyText#54", "dome272/Diffusion-Models-pytorch#24"), "q11-subtract",
                 "03_algorithm", "eps subtracted as it is"),
        Question("Q12", "Why is t drawn uniformly",
                 ("ohayonguy/PMRF#15", "TencentARC/T2I-Adapter#55"), "q12-uniform",
                 "05_3_training"),
        Question("Q13", "Why is the weight of the bound set to zero",
                 ("CompVis/latent-diffusion#349",), "q13-weights", "04_2_derivations",
                 "L_simple taken for the bound"),
    )),
    Theme("Noise and time", (
        Question("Q14", "If the posterior is known why train a network",
                 ("https://stats.stackexchange.com/q/579964",), "q14-posterior",
                 "04_2_derivations", "q(z_{t-1} | z_t) taken for q(z_{t-1} | z_t, z_0)"),
        Question("Q15", "Is the variance of a step beta or sigma squared",
                 ("zoubohao/DenoisingDiffusionProbabilityModel-ddpm-#18",
                  "aqlaboratory/genie#5"), "q15-variance", "04_3_gaussian_case",
                 "sigma_t^2 taken for beta_t"),
        Question("Q16", "Can I train with fewer steps than 1000",
                 ("neu-vi/MARDM#3", "RosettaCommons/RFdiffusion#141"), "q16-short",
                 "04_4_schedule_lab", "short T with the betas of a long one"),
        Question("Q17", "May beta end at 1",
                 ("openai/guided-diffusion#42",), "q17-one", "04_3_gaussian_case",
                 "betas from linspace(1/T, 1)"),
        Question("Q18", "Why can I not draw dark pictures",
                 ("Stability-AI/stablediffusion#93", "crowsonkb/k-diffusion#64"), "q18-dark",
                 "04_4_schedule_lab", "SNR_T that is not zero"),
        Question("Q19", "Does t start at 0 or at 1",
                 ("CompVis/latent-diffusion#136", "huggingface/diffusers#465"), "q19-base",
                 "04_1_mathematical_model", "index base"),
        Question("Q20", "Why is there no noise at the last step",
                 ("TeaPearce/Conditional_Diffusion_MNIST#10", "irom-princeton/dppo#42"),
                 "q20-last", "05_4_sampling", "noise at the last step"),
    )),
    Theme("Latents", (
        Question("Q21", "Where does the latent scale of Stable Diffusion come from",
                 ("huggingface/diffusers#437", "facebookresearch/DiT#32"), "q21-scale",
                 "05_1_autoencoder", "a latent scale copied, not measured"),
        Question("Q22", "Must latents have standard deviation 1",
                 ("Stability-AI/stable-audio-tools#62", "zai-org/CogVideo#190"), "q22-wrong",
                 "05_1_autoencoder", "latents of another scale under the same schedule"),
        Question("Q23", "Is the autoencoder deterministic",
                 ("levihsu/OOTDiffusion#132", "Alpha-VLLM/Lumina-Image-2.0#54"),
                 "q23-deterministic", "05_1_autoencoder"),
        Question("Q24", "Can I decode a random latent",
                 ("CompVis/latent-diffusion#227", "nv-tlabs/LION#40"), "q24-random",
                 "03_algorithm"),
        Question("Q25", "Should I clip the estimate of the clean latent",
                 ("CompVis/latent-diffusion#239", "hojonathanho/diffusion#5"), "q25-clip",
                 "04_1_mathematical_model"),
    )),
    Theme("Sampling", (
        Question("Q26", "How many steps are enough",
                 ("AUTOMATIC1111/stable-diffusion-webui#1113",), "q26-steps", "05_4_sampling"),
        Question("Q27", "Which sampler should I take",
                 ("PixArt-alpha/PixArt-sigma#65",), "q27-sampler", "05_4_sampling"),
        Question("Q28", "Is DDIM with eta 1 the same as DDPM",
                 ("IceClear/StableSR#108", "lucidrains/denoising-diffusion-pytorch#93"),
                 "q28-eta", "05_4_sampling"),
        Question("Q29", "Does a seed give the same image in another batch",
                 ("AUTOMATIC1111/stable-diffusion-webui#376", "huggingface/diffusers#6233"),
                 "q29-batch", "05_4_sampling"),
        Question("Q30", "Does a seed give the same image on another machine",
                 ("CompVis/stable-diffusion#112", "lllyasviel/Fooocus#2345"), "q30-machine",
                 "05_6_gpu"),
        Question("Q31", "Why does image to image skip steps",
                 ("AUTOMATIC1111/stable-diffusion-webui#8668", "mflux-community/mflux#86"),
                 "q31-strength", "06_applications"),
        Question("Q32", "What goes wrong in half precision",
                 ("huggingface/diffusers#9405", "Tongyi-MAI/Z-Image#14"), "q32-half", "05_6_gpu"),
    )),
    Theme("Guidance and conditions", (
        Question("Q33", "Is guidance w or 1 plus w",
                 ("huggingface/diffusers#5882", "lucidrains/denoising-diffusion-pytorch#207"),
                 "q33-guidance", "05_5_text_to_image", "guidance w taken for 1 + w"),
        Question("Q34", "What is the null token",
                 ("lucidrains/denoising-diffusion-pytorch#184", "CompVis/latent-diffusion#139"),
                 "q34-null", "05_5_text_to_image"),
        Question("Q35", "How does a negative prompt work",
                 ("huggingface/diffusers#2307", "divamgupta/stable-diffusion-tensorflow#48"),
                 "q35-negative", "05_5_text_to_image"),
        Question("Q36", "Why are my samples oversaturated or washed out",
                 ("huggingface/diffusers#9585", "vladmandic/sdnext#2824",
                  "huggingface/diffusers#5166"), "q36-saturated", "05_5_text_to_image"),
        Question("Q37", "Concatenation or cross-attention",
                 ("CompVis/latent-diffusion#401", "CompVis/latent-diffusion#107"), "q37-concat",
                 "05_5_text_to_image", "concatenation where attention belongs"),
    )),
    Theme("Names and scores", (
        Question("Q38", "What is the difference of DDPM and latent and Stable Diffusion",
                 ("CompVis/stable-diffusion#415", "juraam/stable-diffusion-from-scratch#2"),
                 "q38-names", "05_5_text_to_image"),
        Question("Q39", "Why is my FID so much worse than in the paper",
                 ("crowsonkb/k-diffusion#51", "bioinf-jku/TTUR#5"), "q39-frechet",
                 "07_tools"),
    )),
)
# fmt: on

QUESTIONS = tuple(question for theme in THEMES for question in theme.questions)
