"""What runs a training: one loop, and all that lets it be stopped, resumed and moved.

fit        the loop
resume     checkpoints, and going on from them bit for bit
identity   what a training is known again by
records    what it says about itself: its log, the bar
settings   FitConfig; single settings from text
optim      AdamW or Muon, and the average of the weights
devices    device, processes, random numbers, Ctrl-C, the lock of a folder
"""
