"""`python -m semrsm` is the command `semrsm`."""

from semrsm.cli import main

if __name__ == "__main__":
    main()
