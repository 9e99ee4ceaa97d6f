"""`python -m prevenant` is the command `prevenant`."""

from prevenant.cli import main

main()
