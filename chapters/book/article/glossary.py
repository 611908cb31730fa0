"""The terms of the book, in Chinese too, and where each is explained.

``tools/pages.py`` makes docs/glossary.md of this list and finds the cell in the named chapter;
``test_article.py`` fails if there is none.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One term: English, one sentence, a chapter's prefix.

    ``article``: the article's word, "" where it has none, or uses the word for something else;
    ``usual``: what is usual in Chinese today; ``written``: how the chapter writes it, if not like ``english``; ``cell``: where, if ``place``
    would choose another cell.
    """

    english: str
    article: str
    usual: str
    meaning: str
    chapter: str
    written: str = ""
    cell: str = ""


TERMS = [
    Term("ancestral sampling", "", "祖先采样", "Drawing each step from a distribution given the last one, with fresh noise, as DDPM does.", "05_4", "DDPM"),
    Term("autoencoder", "自编码器", "自编码器", "Two networks: the encoder makes an image small, the decoder makes it an image again.", "03", "", "autoencoder-text"),
    Term("Bayes' rule", "贝叶斯法则", "贝叶斯法则 (贝叶斯公式)", "How a forward probability is turned round.", "04_2"),
    Term("beta", "噪声强度系数", "加噪方差", "β_t: the variance of the noise that step t adds; many of them make a schedule.", "04_1", "beta", "forward"),
    Term("bound (ELBO)", "", "证据下界", "A lower bound of the log-likelihood that can be computed; the loss of diffusion is a part of it, with other weights.", "04_2", "bound"),
    Term("classifier-free guidance", "", "无分类器引导", "Amplifying what a condition changes: ε_u + w (ε_c - ε_u).", "03", "", "condition-text"),
    Term("CLIP", "CLIP (图文对齐模型)", "CLIP", "Two networks, trained so that a text and its picture get similar vectors.", "05_5"),
    Term("concatenation", "拼接", "拼接", "Giving the network a condition as more channels of its input.", "05_5"),
    Term("condition", "条件信息", "条件", "What the picture should agree with: a label or a text.", "03"),
    Term("consistency model", "", "一致性模型", "A network that gives the end of the walk from every time on it.", "08", "Consistency models"),
    Term("covariance", "", "协方差", "How much, and in which directions together, numbers vary.", "04_3"),
    Term("cross-attention", "", "交叉注意力", "Attention in which places in the picture ask and words answer.", "05_5", "", "maps-text"),
    Term("data distribution", "数据分布", "数据分布", "What training examples are samples of: q(z_0).", "04_3", "distribution"),
    Term("decoder", "解码器", "解码器", "The network from latent to image.", "03"),
    Term("denoiser", "去噪网络", "去噪器", "Anything that, from a noisy z_t and t, estimates z_0 and ε.", "04_3", "", "way-back"),
    Term("diffusion model", "扩散模型", "扩散模型", "A model that learns to undo the addition of noise, and draws by undoing it from noise alone.", "01", "", "diffusion-text"),
    Term("distillation", "", "知识蒸馏", "Teaching a network to do in few steps what another does in many.", "08"),
    Term("DiT", "", "扩散 Transformer", "A transformer in the place of the UNet.", "08"),
    Term("downsampling", "", "下采样", "Halving height and width, here by a convolution with stride 2.", "05_1", "downsample"),
    Term("DreamBooth", "", "DreamBooth", "Fine-tuning on a few pictures of one thing under a rare name, with pictures of its kind to hold on to.", "07"),
    Term("encoder", "编码器", "编码器", "The network from image to latent.", "03", "", "autoencoder-text"),
    Term("evaluation", "", "函数求值 (NFE: 求值次数)", "One call of the network while drawing; what sampling costs.", "05_4", "", "network-error-text"),
    Term("flow matching", "", "流匹配", "A schedule that is linear in time, and a velocity as the target.", "08"),
    Term("forward process", "正向扩散过程", "前向过程", "From data to noise, step by step, without a network.", "04_1"),
    Term("Fréchet distance", "", "弗雷歇距离 (FID)", "Distance of two Gaussians fitted to features of two sets of pictures.", "05_1"),
    Term("GAN", "GAN", "生成对抗网络", "A generator trained against a network that tells real from made.", "01"),
    Term("Gaussian noise", "高斯噪声", "高斯噪声", "Independent normal random numbers.", "04_1", "noise", "notation"),
    Term("generative model", "生成模型", "生成模型", "A model that draws new examples like those it was trained on.", "01"),
    Term("guidance scale", "", "引导强度", "w: how far guidance goes; 0 without the condition, 1 with it, above 1 amplified.", "05_5"),
    Term("image editing", "图像编辑", "图像编辑", "Changing a given picture: image to image, inpainting, directions of attributes.", "06", "edit"),
    Term("image-to-image", "", "图生图", "Starting the walk from a noised picture instead of from noise.", "06", "strength"),
    Term("inpainting", "", "图像修复, 局部重绘", "Drawing a region anew so that it fits the rest.", "06"),
    Term("KID", "", "核 Inception 距离", "A distance of two sets of pictures like the Fréchet distance, but without its bias for small sets.", "07"),
    Term("Kullback-Leibler divergence", "", "KL 散度", "How far one distribution is from another, in nats.", "04_2", "Kullback"),
    Term("latent", "隐变量", "隐变量, 潜变量", "The small array z that stands for an image.", "03", "", "autoencoder-text"),
    Term("latent diffusion model", "潜在扩散模型", "潜在扩散模型", "Diffusion on the latents of an autoencoder.", "03", "latent diffusion"),
    Term("latent scale", "", "隐变量缩放因子", "The factor that gives latents a standard deviation of 1.", "03", "scale"),
    Term("latent space", "潜在空间 (隐空间)", "潜在空间, 隐空间", "The set of all latents.", "02"),
    Term("LoRA", "", "低秩适配", "Training a product of two small matrices beside each large one.", "07"),
    Term("marginal", "", "边缘分布", "The distribution of z_t alone, over all data.", "04_3"),
    Term("Markov chain", "马尔可夫链", "马尔可夫链", "A process whose next step depends on the present state only.", "04_1", "Markov"),
    Term("mode collapse", "模式崩溃", "模式崩溃, 模式坍塌", "A generator that leaves out parts of the data.", "01"),
    Term("negative prompt", "", "负面提示词", "A text to move away from.", "05_5"),
    Term("noise schedule", "", "噪声调度, 噪声调度表", "The betas, or what follows from them: how much signal and noise there is at each t.", "04_4", "schedule"),
    Term("null token", "", "空标记", 'The learned word for "no condition", needed for guidance.', "03", "no label", "condition-text"),
    Term("parameterisation", "", "预测目标, 预测类型", "What the network outputs: ε, z_0, v or the flow.", "05_3", "target"),
    Term("perceptual loss", "", "感知损失", "An error of what a network sees in two pictures; LPIPS is the best known.", "05_1", "perceptual"),
    Term("posterior", "", "后验分布", "q(z_s | z_t, z_0): where z was earlier, if both ends are known.", "04_2"),
    Term("posterior collapse", "", "后验坍塌", "An encoder that says nothing about its picture: q(z | x) is N(0, I).", "05_1"),
    Term("posterior variance", "", "后验方差", "σ_t², the variance of that; not the variance of the true step back.", "04_2", "variance"),
    Term("precision and recall", "", "精确率与召回率", "The share of generated pictures that lie among real ones, and of real ones that lie among generated ones.", "07"),
    Term("prior", "先验分布", "先验分布", "The distribution that drawing starts from: N(0, I).", "04_1"),
    Term("probability-flow ODE", "", "概率流 ODE", "The path without fresh noise that has the same marginals.", "04_2", "probability-flow"),
    Term("receptive field", "", "感受野", "The places of the input that one place of the output depends on.", "05_1"),
    Term("reconstruction error", "重建误差", "重建误差", "How far decoder(encoder(x)) is from x.", "04_1", "reconstruction"),
    Term("rectified flow", "", "整流流", "Another name of flow matching with straight lines; also the repetition that straightens its paths.", "08"),
    Term("reparameterisation", "重参数化", "重参数化", "Writing a random number as mean plus spread times noise.", "04_2"),
    Term("residual block", "", "残差块", "A block whose output is added to its input.", "05_2", "", "demands"),
    Term("reverse process", "逆向去噪过程", "反向过程, 逆向过程", "From noise to data, step by step, with a network.", "04_1"),
    Term("sampler", "", "采样器", "The rule for a step from t to s, and the loop over the steps.", "05_4"),
    Term("sampling", "采样", "采样", "Drawing from a distribution; here, the walk from noise to data.", "05_4"),
    Term("score", "", "得分函数, 分数函数", "The gradient of the log-density of z_t; -E[ε | z_t] divided by the noise.", "04_5", "", "scores"),
    Term("self-attention", "", "自注意力", "Attention of places in the picture to one another.", "05_2", "", "attention-class-text"),
    Term("signal-to-noise ratio", "", "信噪比", "ᾱ_t / (1 - ᾱ_t).", "04_1"),
    Term("space to depth", "", "空间转深度", "Squares of pixels become channels; nothing is computed, nothing is lost.", "05_1"),
    Term("step", "", "步, 步骤", "One move of a sampler along its times.", "05_4"),
    Term("terminal SNR", "", "终端信噪比", "The signal-to-noise ratio at T; not zero in Stable Diffusion.", "04_2"),
    Term("text-to-image", "文本到图像生成", "文生图", "Drawing what a text says.", "05_5", "text"),
    Term("tokenizer", "", "分词器", "Text to numbers, word by word.", "05_5", "token"),
    Term("training", "训练", "训练", "Changing weights until the loss is small.", "05_3", "", "one-step-text"),
    Term("UNet", "UNet模型", "U-Net", "A network that goes down to few places and up again, with skips between.", "05_2", "", "unet-text"),
    Term("v-prediction", "", "v 预测", "The network outputs signal ε - noise z_0.", "04_2", "$v$", "right-argument"),
    Term("VAE", "VAE", "变分自编码器", "An autoencoder whose latents are pulled towards N(0, I), trained on a bound.", "01"),
    Term("variance", "", "方差", "The square of the standard deviation; β_t is one.", "04_3"),
    Term("weight average (EMA)", "", "指数移动平均", "The running average of the weights; what one samples with.", "05_3", "EMA"),
]  # fmt: skip
