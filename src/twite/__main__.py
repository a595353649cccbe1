"""`python -m twite`, and the `twite` command."""

from twite.cli import main

if __name__ == "__main__":
    main()
