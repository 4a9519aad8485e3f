"""`python -m deploy.cli`, for where the entry point is not installed."""

from deploy.cli import main

main()
