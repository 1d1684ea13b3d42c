"""Text classification: a BERT-like backbone on a CSV of sentences.

accelerate launch recipes/text_cls.py       # docstrings of Python's library, built-in backbone, beside scratch
accelerate launch recipes/text_cls.py --train train.csv --test test.csv --backbone path/to/bert
"""

from mmtransfer.cli import recipe
from mmtransfer.config import TEXT

if __name__ == "__main__":
    recipe(TEXT)
