"""The article, item by item: what it says in each section, and where the book runs it.

An item is a formula, a claim, a concept, a step, a figure, an application, or a section that is
known from the outline only. ``test_article.py`` fails if a section is missing, or if a cell or check
that an item names is gone. ``tools/pages.py`` makes docs/article.md of this list.
"""

from dataclasses import dataclass

# The sections of the article; its text ends in 4.3, the others are announced in 1.4.
SECTIONS = {
    "1.1": "The problem",
    "1.2": "The state of research",
    "1.3": "Why it matters",
    "1.4": "Structure of the article",
    "2": "Core concepts",
    "3.1": "The idea of the algorithm",
    "3.2": "The steps",
    "3.3": "Advantages and disadvantages",
    "3.4": "Fields of application",
    "4.1": "The mathematical model",
    "4.2": "Derivations",
    "4.3": "An example",
    "5": "Code (announced)",
    "6": "Applications (announced)",
    "7": "Tools and resources (announced)",
    "8": "Summary and outlook (announced)",
    "9": "Frequent questions (announced)",
}
VERDICTS = ("holds", "holds in part", "fails", "definition", "announced")


@dataclass(frozen=True)
class Item:
    """One thing that the article says.

    verdict  what the cells find; "holds in part": the note says how far
    cells    (chapter prefix, cell) that run it
    checks   numbers of registered equations, or tests as "file::function"
    erratum  its number in errata.py, 0 for none
    """

    section: str
    kind: str
    says: str
    verdict: str
    cells: tuple[tuple[str, str], ...]
    checks: tuple[str, ...] = ()
    note: str = ""
    erratum: int = 0


ITEMS = [
    # --- 1 ---
    Item("1.1", "claim", "A generative model learns a distribution, then draws new samples of it.",
         "definition", (("04_3", "run-the-chain"), ("03", "samples")), ("4.3.1",)),
    Item("1.1", "claim", "Other methods hardly give samples that are both good and varied.",
         "holds in part", (("01", "side-by-side"), ("01", "seeds-table")), ("1.1",),
         "True of the VAE and the plain GAN here; a GAN with a stabiliser comes close."),
    Item("1.2", "claim", "VAE, GAN, diffusion, DDPM, DDIM and latent diffusion, one after another.",
         "definition", (("01", "timeline"),), ("tests/book/test_timeline.py::test_month_and_number_agree",)),
    Item("1.2", "claim", "Diffusion trains stably and gives excellent results.",
         "holds in part", (("01", "curves"), ("01", "settings"), ("03", "seeds")), (),
         "Over seeds; not over settings: some draw nothing of use, though their networks are sound."),
    Item("1.2", "claim", "Latent diffusion is impressive at drawing from texts.",
         "holds", (("00", "judge"), ("06", "gallery-counted")), ("5.5.1",)),
    Item("1.3", "claim", "Latent diffusion keeps the stable training and the diversity.",
         "holds in part", (("01", "adjectives"), ("03", "seeds")), (),
         "Stable over seeds, diverse without guidance; guidance costs variety."),
    Item("1.3", "claim", "A low-dimensional latent space makes generation much cheaper.",
         "holds", (("03", "pixel-or-latent"), ("05_6", "count-operations")),
         ("4.1.2", "tests/book/test_measure.py::test_latents_and_pixels_got_the_same_time")),
    Item("1.3", "claim", "With CLIP, a text can direct what is generated.",
         "holds in part", (("05_5", "contrastive-live"), ("05_5", "text-encoders")), ("5.5.4",),
         "A contrastive encoder matches texts and pictures; a frozen one was no better here than "
         "one trained along.", 7),
    Item("1.4", "announced", "What each of the nine sections is about.",
         "announced", (("00", "map"),),
         ("tests/book/test_first_page.py::test_the_map_lists_exactly_the_chapters",)),
    # --- 2 ---
    Item("2", "concept", "Latent space: an autoencoder maps images to few numbers.",
         "holds", (("02", "a-latent"), ("02", "sizes"), ("05_1", "channel-maps")), ("4.1.2",)),
    Item("2", "claim", "Each point of the latent space corresponds to one image.",
         "fails", (("02", "four-kinds-counted"), ("04_1", "random-latents"), ("03", "judge")),
         ("tests/library/test_judge.py::test_blanks_and_smooth_blobs_are_refused",),
         "The decoder returns something for every latent; for most it is no plausible image.", 8),
    Item("2", "concept", "The forward process adds Gaussian noise, step by step, up to a prior.",
         "holds", (("02", "forward-strip"), ("04_1", "film-strip"), ("04_3", "evolution")), ("4.1.6", "4.1.7")),
    Item("2", "concept", "The reverse process denoises, step by step, from the prior to data.",
         "holds", (("02", "reverse-strip"), ("03", "film"), ("05_4", "film-strip")), ("4.1.9", "5.4.1")),
    Item("2", "concept", "The autoencoder maps in both directions.",
         "holds in part", (("02", "round-trip"), ("05_1", "full-record"), ("05_1", "one-pixel")), ("4.1.1", "4.1.3"),
         "Not exactly: detail is lost, more of it with a larger factor."),
    Item("2", "concept", "A UNet denoises the latents.",
         "holds", (("02", "against-baselines"), ("05_2", "whole-by-hand"), ("05_2", "ablation-captions")), ("5.2.1", "5.2.4")),
    Item("2", "claim", "Attributes of the image can be controlled by changing the latent.",
         "holds in part", (("02", "edits"), ("06", "attributes"), ("06", "control"), ("06", "inpaint-live")),
         ("6.2", "6.5"), "By inpainting and by the text; directions in the latent do less."),
    # --- 3 ---
    Item("3.1", "claim", "Compress, add noise, denoise, decode: one model out of two.",
         "holds", (("03", "flow-chart"), ("03", "samples")), ("3.1", "3.4", "3.7")),
    Item("3.2", "step", "1. Train an autoencoder to reconstruct.",
         "holds in part", (("03", "train-autoencoder"), ("03", "scale"), ("03", "unscaled")),
         ("3.1", "3.2", "3.3"), "The scale of the latents is missing.", 6),
    Item("3.2", "step", "2. Forward diffusion: T steps of Gaussian noise.",
         "holds", (("03", "forward"), ("03", "forward-numbers")), ("3.4",)),
    Item("3.2", "step", "3. Reverse: predict the noise, subtract it, T times.",
         "fails", (("03", "subtract"), ("04_3", "subtract-all"), ("04_1", "three-updates")),
         ("3.7", "4.1.9", "tests/library/test_samplers.py::test_ddpm_is_the_formula_of_the_article"),
         "A share of the predicted noise is subtracted, then the rest is stretched; its own "
         "formula in 4.1 says so too.", 4),
    Item("3.2", "step", "4. Decode the last latent.", "holds", (("03", "samples"),),
         ("tests/library/test_text_to_image.py::"
          "test_text_to_image_is_the_guided_sampler_on_the_encoded_words",)),
    Item("3.2", "step", "5. A condition, concatenated with the latent.",
         "fails", (("03", "guidance"), ("05_5", "conditioning")), ("5.5.1", "3.8"),
         "For text, cross-attention is far better.", 7),
    Item("3.2", "figure", "The flow chart.", "fails", (("03", "flow-chart"),),
         ("tests/library/test_text_to_image.py::"
          "test_text_to_image_is_the_guided_sampler_on_the_encoded_words",),
         "Generation starts from noise, not from an encoded image.", 10),
    Item("3.3", "claim", "Advantage: high quality, sharp images.",
         "holds in part", (("03", "judge"), ("05_4", "accuracy-and-distance")), ("5.1.3",),
         "As sharp as the decoder allows."),
    Item("3.3", "claim", "Advantage: images from texts.",
         "holds", (("06", "gallery-counted"), ("05_5", "word-maps")), ("5.5.1", "5.5.2")),
    Item("3.3", "claim", "Advantage: stable training, hardly any mode collapse.",
         "holds in part", (("01", "curves"), ("01", "settings"), ("03", "seeds")), (),
         "Over seeds; not over settings: some draw nothing of use, though their networks are sound."),
    Item("3.3", "claim", "Advantage: latents are easy to handle, attributes controllable.",
         "holds in part", (("06", "attributes"), ("06", "control")), ("6.5",),
         "By inpainting and by the text; directions in the latent do less."),
    Item("3.3", "claim", "Disadvantage: slow, many steps for one image.",
         "holds in part", (("03", "steps-or-quality"), ("05_4", "accuracy-and-distance")),
         ("5.4.3",), "12 evaluations are as good as 50 on our model."),
    Item("3.3", "claim", "Disadvantage: the latent space limits complexity and detail.",
         "holds", (("05_1", "factor-sweep"), ("05_1", "factor-pictures")), ("5.1.3",)),
    Item("3.3", "claim", "Disadvantage: much paired data of high quality is needed.",
         "holds in part", (("05_3", "data-sweep"),), (),
         "Too little makes the model remember instead of understand; how much is enough depends "
         "on the world."),
    Item("3.4", "application", "Art and design: pictures from a text.", "holds",
         (("06", "gallery"), ("06", "strengths")), ("6.1",)),
    Item("3.4", "application", "Games: scenes, figures, textures.", "holds",
         (("06", "tiles"), ("06", "without-a-border")), ("tests/book/test_editing.py::test_a_circular_network_does_not_know_where_the_border_is",)),
    Item("3.4", "application", "Trying on clothes.", "holds in part",
         (("06", "inpaint-live"), ("06", "inpaint-stored")), ("6.2",),
         "Its core, changing one thing and keeping the rest, on coloured shapes."),
    Item("3.4", "application", "Editing images: style and attributes.", "holds in part",
         (("06", "strength-curves"), ("06", "attributes"), ("06", "between")), ("6.1", "6.5"),
         "Style and attributes change; what else changes with them is measured."),
    # --- 4.1 ---
    Item("4.1", "formula", "z = E(x), with h < H and w < W.",
         "holds in part", (("04_1", "compression"),), ("4.1.2",),
         "What counts is c h w < C H W.", 8),
    Item("4.1", "formula", "L_recon = E ‖x - D(E(x))‖²", "holds in part",
         (("04_1", "reconstruct"), ("04_1", "loud-latents"), ("04_1", "kl-and-scale")),
         ("4.1.1", "4.1.3", "4.1.4", "4.1.5"), "It leaves scale and shape of the latents open.", 6),
    Item("4.1", "formula", "q(z_t | z_{t-1}) = N(√(1-β_t) z_{t-1}, β_t I)", "holds",
         (("04_1", "chain-and-jump"), ("04_3", "run-the-chain")), ("4.1.6", "4.3.2")),
    Item("4.1", "formula", "0 < β_1 < β_2 < … < β_T < 1", "holds in part",
         (("04_3", "three-orders"), ("04_4", "own-explorer")),
         ("tests/book/test_gaussian_case.py::"
          "test_order_of_the_betas_does_not_matter_to_the_true_reverse",),
         "The bounds are needed, the order is not.", 11),
    Item("4.1", "claim", "After T steps q(z_T) is close to N(0, I).", "holds in part",
         (("04_1", "the-start"), ("04_3", "short-schedule"), ("04_4", "four-schedules")),
         ("4.3.15", "4.3.16", "4.4.1"), "Only if ᾱ_T is close to 0.", 5),
    Item("4.1", "formula", "z_{t-1} = (z_t - β_t/√(1-ᾱ_t) ε_θ)/√α_t + σ_t ξ", "holds",
         (("04_1", "one-step"), ("04_1", "three-updates")), ("4.1.9", "3.7")),
    Item("4.1", "formula", "L_diffuse = E ‖ε - ε_θ(√ᾱ_t z_0 + √(1-ᾱ_t) ε, t)‖²",
         "holds in part", (("04_1", "loss-by-hand"), ("04_1", "loss-depends-on-encoder")),
         ("4.1.10", "4.1.11", "4.2.25"), "A training loss, not the bound: weights are dropped.", 9),
    # --- 4.2 ---
    Item("4.2", "formula", "z_t = √ᾱ_t z_0 + √(1-ᾱ_t) ε", "holds",
         (("04_2", "convolution"), ("04_2", "induction"), ("04_2", "chain-against-jump")),
         ("4.2.1", "4.2.2", "4.2.3")),
    Item("4.2", "formula", "Bayes' rule with p(z_t) = N(0, I) gives the step back.", "fails",
         (("04_2", "bayes-under-the-assumption"), ("04_2", "true-reverse-on-a-mixture")),
         ("4.2.4", "4.2.5"), "It gives N(√α_t z_t, β_t I).", 1),
    Item("4.2", "claim", "Merging the steps into one jump is a reparameterisation.",
         "holds in part", (("04_2", "convolution"), ("04_2", "induction")), ("4.2.1", "4.2.2"),
         "A sum of Gaussians merges them; that word is for a draw as mean + std · ε.", 14),
    Item("4.2", "claim", "Bayes' rule for the step back, with p's and q's in it.",
         "holds in part", (("04_2", "true-reverse-on-a-mixture"),), ("4.2.4", "4.2.8"),
         "It is about one joint distribution: every factor is a q.", 13),
    Item("4.2", "formula", "μ_θ = (z_t - β_t/√(1-ᾱ_t) ε_θ)/√α_t", "holds",
         (("04_2", "mean-for-any-data"), ("04_2", "four-forms-symbolic")), ("4.2.6", "4.2.16"),
         "The mean is right, by another argument.", 1),
    Item("4.2", "formula", "σ_t² = (1-ᾱ_{t-1})/(1-ᾱ_t) β_t", "holds in part",
         (("04_2", "posterior-in-code"), ("04_2", "variance-law")),
         ("4.2.7", "4.2.11", "4.2.13"), "It belongs to q(z_{t-1} | z_t, z_0).", 1),
    # --- 4.3 ---
    Item("4.3", "formula", "z_0 ~ N([1, 2], diag(1, 2))", "definition",
         (("04_3", "run-the-chain"), ("04_3", "exact-reverse")), ("4.3.1", "4.3.4", "4.3.11")),
    Item("4.3", "formula", "β_t = t/T, T = 100", "fails",
         (("04_3", "signal-left"), ("04_3", "article-step"), ("04_3", "singular-solve")),
         ("4.3.6", "4.3.8", "tests/book/test_gaussian_case.py::test_errata_numbers"),
         "β_T = 1 divides by zero, and two thirds of the steps do nothing.", 2),
    Item("4.3", "claim", "β_t is the Gaussian noise that a step adds.", "fails",
         (("04_3", "variance-or-std"),),
         ("4.1.6", "tests/library/test_process.py::test_markov_step_is_ddpm_equation_2"),
         "It is the variance of that noise.", 3),
    Item("4.3", "figure", "How the distribution changes over 100 steps (the code is cut off).",
         "holds", (("04_3", "evolution"), ("04_3", "chain-and-jump")), ("4.3.3", "4.3.4")),
    Item("4.3", "claim", "The example demonstrates latent diffusion.", "fails",
         (("04_3", "linear-autoencoder"), ("04_3", "closed-form-ldm")), ("4.3.17", "4.3.18"),
         "It has no autoencoder; the book adds one.", 12),
    # --- 5 to 9, announced in 1.4 ---
    Item("5", "announced", "Code, explained in detail.", "announced",
         (("05_0", "unet"), ("05_1", "layers"), ("05_2", "whole-by-hand"), ("05_3", "by-hand"),
          ("05_4", "one-line"), ("05_5", "tokens"), ("05_6", "data-parallel")),
         ("5.2.4", "5.3.2", "5.4.2", "5.5.2", "5.6.4")),
    Item("6", "announced", "Fields of application.", "announced",
         (("06", "gallery"), ("06", "strengths"), ("06", "inpaint-live"), ("06", "tiles"),
          ("06", "between"), ("06", "attributes")), ("6.1", "6.2", "6.4", "6.5")),
    Item("7", "announced", "Tools and resources.", "announced",
         (("07", "tables"), ("07", "walks"), ("07", "dictionary")), ("7.1",)),
    Item("8", "announced", "Summary and outlook.", "announced",
         (("08", "book-in-numbers"), ("08", "brightness-results"), ("08", "flow-results"),
          ("08", "dit-equal"), ("08", "few-results"), ("08", "stable-diffusion-cost")),
         ("8.1", "8.2")),
    Item("9", "announced", "Frequent questions.", "announced",
         (("09", "q1-verify"), ("09", "q2-floor"), ("09", "q28-eta"), ("09_1", "ledger-table")),
         ("9.1", "tests/book/test_museum.py::test_the_detector_tells_right_from_planted")),
]  # fmt: skip
