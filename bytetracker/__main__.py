"""`python -m bytetracker` is `bytetracker`."""

from bytetracker.cli import main

main()
