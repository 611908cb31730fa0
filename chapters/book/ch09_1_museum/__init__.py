"""A museum of classic mistakes: each is one wrong line, planted into the real package in memory.

exhibit.py   what an exhibit is; asking its detector, drawing its symptom
planted.py   the package with one line changed, while a block lasts
schedule.py, samplers.py, output.py, training.py, gradients.py, latents_and_editing.py
             the rooms: each exhibit beside its detector and its symptom
rooms.py     all of them, and how one is found
scene.py     the small worlds in which symptoms show
figures.py   right beside planted
tour.py      what chapter 9.1 shows
"""

from book.ch09_1_museum.exhibit import Exhibit, Sighting, complaint, symptoms
from book.ch09_1_museum.planted import Package, changed_source, planted
from book.ch09_1_museum.rooms import EXHIBITS, HIDDEN, ROOMS, SECRET, Fault, find

__all__ = [
    "EXHIBITS", "HIDDEN", "ROOMS", "SECRET", "Exhibit", "Fault", "Package", "Sighting",
    "changed_source", "complaint", "find", "planted", "symptoms",
]  # fmt: skip
