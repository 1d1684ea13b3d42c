"""Token classification: names, places, parts of speech; a BERT-like backbone on sentences with a tag a word.

accelerate launch recipes/token_cls.py      # names in docstrings of Python's library, built-in backbone, beside scratch
accelerate launch recipes/token_cls.py --train train.conll --test test.conll --backbone path/to/bert
"""

from mmtransfer.cli import recipe
from mmtransfer.config import TAGS

if __name__ == "__main__":
    recipe(TAGS)
