"""Training, evaluation and checkpoints: no modality, no strategy by name."""
