"""`python -m cli` is the command `crawl`."""

from cli.main import main

main()
