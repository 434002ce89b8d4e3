"""`python -m dsmobile`."""

from dsmobile.cli import main

main()
