"""Speech recognition with CTC: a Wav2Vec2-like backbone on a folder of recordings with metadata.csv.

accelerate launch recipes/speech_rec.py     # synthesised commands, built-in backbone, beside scratch
accelerate launch recipes/speech_rec.py --train speech/train --test speech/test --backbone path/to/wav2vec2
"""

from mmtransfer.cli import recipe
from mmtransfer.config import SPEECH

if __name__ == "__main__":
    recipe(SPEECH)
