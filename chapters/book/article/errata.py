"""What the article gets wrong, or leaves open: where the book shows it, and what keeps it shown.

An erratum names cells (chapter prefix, cell) that show it by running something, and checks: numbers
of registered equations, or tests as "file::function". ``tests/equations/test_errata.py`` fails if one of them is
gone. ``tools/pages.py`` makes docs/errata.md of this list.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Erratum:
    """One item: what the article says, what is the case, the cells, the checks."""

    number: int
    section: str  # of the article
    says: str
    case: str
    cells: tuple[tuple[str, str], ...]
    checks: tuple[str, ...]


ERRATA = [
    Erratum(
        1, "4.2", "Bayes' rule with p(z_t) = N(0, I) gives the mean with ε_θ, the variance σ_t².",
        "It gives N(√α_t z_t, β_t I). The mean is right for any data, by conditioning on z_0; σ_t² "
        "is the variance of q(z_{t-1} | z_t, z_0), that of q(z_{t-1} | z_t) is larger.",
        (("04_2", "bayes-under-the-assumption"), ("04_2", "mean-for-any-data"),
         ("04_2", "variance-law")),
        ("4.2.5", "4.2.6", "4.2.7", "4.3.12"),
    ),
    Erratum(
        2, "4.3", "β_t = t/T, although β_T < 1 is demanded in 4.1.",
        "β_T = 1: the update divides by zero, ε-prediction carries no z_0; and most steps do "
        "nothing, because the signal is gone after a third of them.",
        (("04_3", "signal-left"), ("04_3", "article-step"), ("04_3", "singular-solve")),
        ("4.3.6", "tests/book/test_gaussian_case.py::test_errata_numbers"),
    ),
    Erratum(
        3, "4.3", "β_t is the Gaussian noise that is added.",
        "It is its variance; the noise is multiplied by √β_t.",
        (("04_3", "variance-or-std"),),
        ("4.1.6", "tests/library/test_process.py::test_markov_step_is_ddpm_equation_2"),
    ),
    Erratum(
        4, "3.2, 4.1", "The network predicts the current step's noise, which is subtracted.",
        "It predicts all noise in z_t. A share β_t/√(1-ᾱ_t) of it is subtracted, then everything "
        "is stretched by 1/√α_t.",
        (("03", "subtract"), ("04_1", "one-step"), ("04_1", "three-updates"),
         ("04_3", "subtract-all")),
        ("4.1.9", "tests/library/test_samplers.py::test_ddpm_is_the_formula_of_the_article"),
    ),
    Erratum(
        5, "4.1", "Sampling starts from p(z_T) = N(0, I).",
        "That is right only if ᾱ_T ≈ 0. 1,000-step betas with T = 100 leave 60 % of the amplitude.",
        (("04_1", "the-start"), ("04_3", "short-samples"), ("04_4", "short-schedule")),
        ("4.3.15", "4.3.16",
         "tests/library/test_schedule.py::test_too_few_steps_warn_with_the_number_and_the_remedy"),
    ),
    Erratum(
        6, "4.1", "The autoencoder minimises the reconstruction error.",
        "That leaves scale and shape of the latents open: a KL term and a scale are needed. What a "
        "squared error does to detail is measured.",
        (("03", "unscaled"), ("04_1", "loud-latents"), ("04_1", "kl-and-scale"),
         ("05_1", "three-losses"), ("05_1", "scale-sweep")),
        ("4.1.3", "4.1.4", "4.1.5", "5.1.4", "5.1.5"),
    ),
    Erratum(
        7, "3.2", "A condition is concatenated with the latent.",
        "That suits conditions that are aligned with the image. A text is read by cross-attention. "
        "Both are built, and compared by training.",
        (("05_5", "word-maps"), ("05_5", "conditioning")),
        ("5.5.1", "tests/library/test_text.py::test_the_order_of_the_words_matters",
         "tests/library/test_text.py::test_each_image_reads_its_own_text"),
    ),
    Erratum(
        8, "2, 4.1", "Each latent corresponds to an image; h < H and w < W make it small.",
        "Random latents decode to no image. A latent is smaller if c h w < C H W; h < H and w < W make "
        "a network call cheaper, which is another thing.",
        (("02", "four-kinds-counted"), ("03", "judge"), ("04_1", "random-latents"),
         ("04_1", "compression")),
        ("4.1.2", "tests/library/test_judge.py::test_blanks_and_smooth_blobs_are_refused"),
    ),
    Erratum(
        9, "4.1", "L_diffuse is the training objective.",
        "It drops the weights of the bound, the distribution of z_0 = E(x) and the condition; the "
        "bound of the whole model has three more terms.",
        (("04_1", "loss-depends-on-encoder"), ("04_2", "weights-plot"), ("04_2", "whole-model")),
        ("4.2.23", "4.2.27"),
    ),
    Erratum(
        10, "3.2", "The flow chart starts generation from an encoded image.",
        "Generation starts from noise; the encoder serves training and editing.",
        (("03", "flow-chart"),),
        ("tests/library/test_text_to_image.py::"
         "test_text_to_image_is_the_guided_sampler_on_the_encoded_words",),
    ),
    Erratum(
        11, "4.1", "β_t must increase.",
        "It need not: only the product of the α_t counts.",
        (("04_3", "three-orders"),),
        ("tests/book/test_gaussian_case.py::"
         "test_order_of_the_betas_does_not_matter_to_the_true_reverse",),
    ),
    Erratum(
        12, "4.3", "The example demonstrates latent diffusion.",
        "There is no autoencoder in it. The book adds a linear one, and stays exact.",
        (("04_3", "linear-autoencoder"), ("04_3", "closed-form-ldm")),
        ("4.3.17", "4.3.18",
         "tests/book/test_gaussian_case.py::test_a_latent_diffusion_model_in_closed_form"),
    ),
    Erratum(
        13, "4.2", "Bayes' rule for the step back has p's and q's in it.",
        "Bayes' rule is about one joint distribution, the forward chain's: every factor is a q.",
        (("04_2", "bayes-under-the-assumption"), ("04_2", "true-reverse-on-a-mixture")),
        ("4.2.4", "4.2.8"),
    ),
    Erratum(
        14, "4.2", "Merging the steps into one jump is called reparameterisation.",
        "What merges them is that a sum of Gaussians is Gaussian. Reparameterisation is to write a "
        "draw as mean + standard deviation · ε.",
        (("04_2", "convolution"), ("04_2", "induction")),
        ("4.2.1", "4.2.2"),
    ),
]  # fmt: skip
