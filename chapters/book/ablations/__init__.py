"""Trainings that differ in one thing, written down first."""
