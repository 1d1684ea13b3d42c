"""`python -m mmtransfer`: the command line."""

from mmtransfer.cli import main

main()
