"""Audio classification: keywords, speakers, sounds; a Wav2Vec2-like backbone on a folder of recordings.

accelerate launch recipes/audio_cls.py      # the first words of synthesised commands, built-in backbone, beside scratch
accelerate launch recipes/audio_cls.py --train sounds/train --test sounds/test --backbone path/to/wav2vec2
"""

from mmtransfer.cli import recipe
from mmtransfer.config import AUDIO

if __name__ == "__main__":
    recipe(AUDIO)
