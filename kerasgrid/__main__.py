"""`python -m kerasgrid`, for where pip's scripts are not on the path."""

from kerasgrid.cli import main

if __name__ == "__main__":
    main()
