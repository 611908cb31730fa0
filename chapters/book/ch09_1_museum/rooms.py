"""The rooms of the museum, and everything in them."""

from typing import NamedTuple

from book.ch09_1_museum import latents_and_editing, output, samplers, schedule, training
from book.ch09_1_museum.exhibit import Exhibit

ROOMS: dict[str, list[Exhibit]] = {
    "the schedule and the forward process": schedule.EXHIBITS,
    "samplers": samplers.EXHIBITS,
    "what the network says": output.EXHIBITS,
    "data, layers, training": training.EXHIBITS,
    "latents and editing": latents_and_editing.EXHIBITS,
}
EXHIBITS: list[Exhibit] = [exhibit for room in ROOMS.values() for exhibit in room]
HIDDEN = samplers.HIDDEN  # of exercise 9.1-2


class Fault(NamedTuple):
    """What ``planted`` needs to know, and no more: a fault that is not on show."""

    name: str
    file: str
    right: str
    wrong: str


# Of exercise 9.1-4: please solve it before you read on.
SECRET = Fault("secret", "process.py", "self.var.sqrt() * eps", "self.var * eps")


def find(name: str) -> Exhibit:
    """The exhibit of this name. Raises ValueError naming those there are."""
    for exhibit in EXHIBITS:
        if exhibit.name == name:
            return exhibit
    raise ValueError(
        f"there is no exhibit {name!r}; there are {', '.join(e.name for e in EXHIBITS)}"
    )
