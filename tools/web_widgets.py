"""What the widgets' twins on the web show, computed by the functions that the widgets call.

write_schedule_explorer(out)   the two clouds; curves and gauges are computed in the browser
write_latent_walk(out)         the widget's answers at a grid of places, as pictures and words
"""

import base64
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from book.ch02_concepts.walk import PAIRS, scene_pair, walk_stop
from book.ch02_concepts.walk_widget import panel_images, panel_words
from book.ch04_4_schedule_lab.explorer import data_points, noise_points
from book.display import pixels
from minildm.latent import LatentDiffusion

GRIDS = {  # the places u between the pictures, and the shares of T to come back from
    "plain": ([round(i / 20, 2) for i in range(21)], [0.0]),
    "repair": ([round(i / 10, 1) for i in range(11)], [0.0, 0.25, 0.5, 0.75, 1.0]),
}


def write_schedule_explorer(out: Path) -> None:
    """The points and the noise of chapter 4.4, as the 32-bit numbers that the widget is given."""
    clouds = {"clean": data_points(), "noise": noise_points()}
    said = {k: base64.b64encode(v.float().numpy().tobytes()).decode() for k, v in clouds.items()}
    (out / "schedule_explorer.json").write_text(json.dumps(said), encoding="utf-8")


def write_latent_walk(out: Path, grids: dict = GRIDS) -> None:
    """A picture for each pair and each kind of walk: rows are places u, columns shares of T.

    Beside them latent_walk.json: the grid, and the words under each block.
    """
    torch.set_num_threads(1)
    model = LatentDiffusion.load("shapes")
    told: dict = {"names": list(PAIRS)}
    for kind, (places, shares) in grids.items():
        count = 3 if kind == "plain" else 4
        told[kind] = {"u": places, "back": shares, "words": {}, "files": {}}
        for k, name in enumerate(PAIRS):
            rows, words = [], []
            for u in places:
                stops = [walk_stop(model, scene_pair(name), u, back) for back in shares]
                blocks = [pixels(panel_images(stop)[:count], count) for stop in stops]
                rows.append(np.concatenate(blocks, axis=1))
                words.append([panel_words(stop)[:count] for stop in stops])
            file = f"latent_walk_{kind}_{k}.webp"
            Image.fromarray(np.concatenate(rows)).save(out / file, quality=85, method=6)
            told[kind]["words"][name], told[kind]["files"][name] = words, file
    (out / "latent_walk.json").write_text(json.dumps(told), encoding="utf-8")
