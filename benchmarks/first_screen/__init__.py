"""The chart of the README: test accuracy against seconds, ours beside transformers' Trainer, a plain loop and a method
after SetFit, on the same data, network and machine."""
