"""The terms of the book, with the Chinese ones of the article, and where each is explained.

``tools/pages.py`` makes docs/glossary.md of this list and finds the cell in the named chapter;
``test_article.py`` fails if there is none.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One term: English, Chinese ("" where the article has none), one sentence, a chapter's prefix.

    ``written``: how the chapter writes it, if not like ``english``; ``cell``: where, if ``place``
    would choose another cell.
    """

    english: str
    chinese: str
    meaning: str
    chapter: str
    written: str = ""
    cell: str = ""


TERMS = [
    Term("ancestral sampling", "", "Drawing each step from a distribution given the last one, with fresh noise, as DDPM does.", "05_4", "DDPM"),
    Term("autoencoder", "自编码器", "Two networks: the encoder makes an image small, the decoder makes it an image again.", "03", "", "autoencoder-text"),
    Term("Bayes' rule", "贝叶斯法则", "How a forward probability is turned round.", "04_2"),
    Term("bound (ELBO)", "", "A lower bound of the log-likelihood that can be computed; the loss of diffusion is a part of it, with other weights.", "04_2", "bound"),
    Term("classifier-free guidance", "", "Amplifying what a condition changes: ε_u + w (ε_c - ε_u).", "03", "", "condition-text"),
    Term("CLIP", "CLIP (图文对齐模型)", "Two networks, trained so that a text and its picture get similar vectors.", "05_5"),
    Term("concatenation", "拼接", "Giving the network a condition as more channels of its input.", "05_5"),
    Term("condition", "条件信息", "What the picture should agree with: a label or a text.", "03"),
    Term("covariance", "", "How much, and in which directions together, numbers vary.", "04_3"),
    Term("cross-attention", "", "Attention in which places in the picture ask and words answer.", "05_5", "", "maps-text"),
    Term("data distribution", "数据分布", "What training examples are samples of: q(z_0).", "04_3", "distribution"),
    Term("decoder", "解码器", "The network from latent to image.", "03"),
    Term("denoiser", "去噪网络", "Anything that, from a noisy z_t and t, estimates z_0 and ε.", "04_3", "", "way-back"),
    Term("diffusion model", "扩散模型", "A model that learns to undo the addition of noise, and draws by undoing it from noise alone.", "01", "", "diffusion-text"),
    Term("downsampling", "", "Halving height and width, here by a convolution with stride 2.", "05_1", "downsample"),
    Term("encoder", "编码器", "The network from image to latent.", "03", "", "autoencoder-text"),
    Term("evaluation", "", "One call of the network while drawing; what sampling costs.", "05_4", "", "network-error-text"),
    Term("forward process", "正向扩散过程", "From data to noise, step by step, without a network.", "04_1"),
    Term("Fréchet distance", "", "Distance of two Gaussians fitted to features of two sets of pictures.", "05_1"),
    Term("GAN", "生成对抗网络", "A generator trained against a network that tells real from made.", "01"),
    Term("Gaussian noise", "高斯噪声", "Independent normal random numbers.", "04_1", "noise", "notation"),
    Term("generative model", "生成模型", "A model that draws new examples like those it was trained on.", "01"),
    Term("image-to-image", "", "Starting the walk from a noised picture instead of from noise.", "06", "strength"),
    Term("inpainting", "图像编辑", "Drawing a region anew so that it fits the rest.", "06"),
    Term("Kullback-Leibler divergence", "", "How far one distribution is from another, in nats.", "04_2", "Kullback"),
    Term("latent", "隐变量", "The small array z that stands for an image.", "03", "", "autoencoder-text"),
    Term("latent diffusion model", "潜在扩散模型", "Diffusion on the latents of an autoencoder.", "03", "latent diffusion"),
    Term("latent scale", "", "The factor that gives latents a standard deviation of 1.", "03", "scale"),
    Term("latent space", "潜在空间 (隐空间)", "The set of all latents.", "02"),
    Term("marginal", "", "The distribution of z_t alone, over all data.", "04_3"),
    Term("Markov chain", "马尔可夫链", "A process whose next step depends on the present state only.", "04_1", "Markov"),
    Term("mode collapse", "模式崩溃", "A generator that leaves out parts of the data.", "01"),
    Term("negative prompt", "", "A text to move away from.", "05_5"),
    Term("noise schedule", "噪声强度系数", "The betas, or what follows from them: how much signal and noise there is at each t.", "04_4", "schedule"),
    Term("null token", "", 'The learned word for "no condition", needed for guidance.', "03", "no label", "condition-text"),
    Term("parameterisation", "参数化", "What the network outputs: ε, z_0, v or the flow.", "05_3", "target"),
    Term("perceptual loss", "", "An error of what a network sees in two pictures; LPIPS is the best known.", "05_1", "perceptual"),
    Term("posterior", "", "q(z_s | z_t, z_0): where z was earlier, if both ends are known.", "04_2"),
    Term("posterior collapse", "", "An encoder that says nothing about its picture: q(z | x) is N(0, I).", "05_1"),
    Term("posterior variance", "", "σ_t², the variance of that; not the variance of the true step back.", "04_2", "variance"),
    Term("prior", "先验分布", "The distribution that drawing starts from: N(0, I).", "04_1"),
    Term("probability-flow ODE", "", "The path without fresh noise that has the same marginals.", "04_2", "probability-flow"),
    Term("receptive field", "", "The places of the input that one place of the output depends on.", "05_1"),
    Term("reconstruction error", "重建误差", "How far decoder(encoder(x)) is from x.", "04_1", "reconstruction"),
    Term("reparameterisation", "重参数化", "Writing a random number as mean plus spread times noise.", "04_2"),
    Term("residual block", "", "A block whose output is added to its input.", "05_2", "", "demands"),
    Term("reverse process", "逆向去噪过程", "From noise to data, step by step, with a network.", "04_1"),
    Term("sampler", "采样", "The rule for a step from t to s, and the loop over the steps.", "05_4"),
    Term("score", "", "The gradient of the log-density of z_t; -E[ε | z_t] divided by the noise.", "04_2"),
    Term("self-attention", "", "Attention of places in the picture to one another.", "05_2", "", "attention-class-text"),
    Term("signal-to-noise ratio", "", "ᾱ_t / (1 - ᾱ_t).", "04_1"),
    Term("space to depth", "", "Squares of pixels become channels; nothing is computed, nothing is lost.", "05_1"),
    Term("step", "步数", "One move of a sampler along its times.", "05_4"),
    Term("terminal SNR", "", "The signal-to-noise ratio at T; not zero in Stable Diffusion.", "04_2"),
    Term("text-to-image", "文本到图像生成", "Drawing what a text says.", "05_5", "text"),
    Term("tokenizer", "", "Text to numbers, word by word.", "05_5", "token"),
    Term("training", "训练", "Changing weights until the loss is small.", "05_3", "", "one-step-text"),
    Term("UNet", "UNet模型", "A network that goes down to few places and up again, with skips between.", "05_2", "", "unet-text"),
    Term("v-prediction", "", "The network outputs signal ε - noise z_0.", "04_2", "$v$", "right-argument"),
    Term("VAE", "变分自编码器", "An autoencoder whose latents are pulled towards N(0, I), trained on a bound.", "01"),
    Term("variance", "方差", "The square of the standard deviation; β_t is one.", "04_3"),
    Term("weight average (EMA)", "", "The running average of the weights; what one samples with.", "05_3", "EMA"),
]  # fmt: skip
