"""N-gram language models over words and over characters: counted, estimated, read, written, asked.

>>> from mmtransfer import language
>>> model = language.estimate(language.count([["a", "b"], ["a", "c"]], order=2))
>>> model.order, model.words
(2, ['<unk>', '<s>', '</s>', 'a', 'b', 'c'])
"""

from mmtransfer.language.arpa import read_arpa, write_arpa
from mmtransfer.language.counts import Counts, count
from mmtransfer.language.kneser_ney import estimate
from mmtransfer.language.ngrams import BEGIN, END, UNKNOWN, NGrams
from mmtransfer.language.sources import read, sentences

__all__ = [
    "BEGIN",
    "END",
    "UNKNOWN",
    "Counts",
    "NGrams",
    "count",
    "estimate",
    "read",
    "read_arpa",
    "sentences",
    "write_arpa",
]
