"""Real drawings with real names: 3,953 emoji, and the model that draws them.

    names     spell, caption               what their code points say, and how people call them
    drawings  drawings, Drawings           rendered once: pictures, captions, who is in them
    splits    splits, Splits               what is learned from, and what is asked unseen
    training  EmojiTraining, train_emoji   the text-to-image model, from nothing

The names below can be had from here, but ``drawings.drawings`` and ``splits.splits``: they have the
names of their modules, and are imported from them.
"""

from minildm.emoji.drawings import Drawings
from minildm.emoji.names import Spelling, caption, spell
from minildm.emoji.splits import Splits, unseen_parts

__all__ = ["Drawings", "Spelling", "Splits", "caption", "spell", "unseen_parts"]
