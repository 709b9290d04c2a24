"""``python -m astroreel.cli``."""

from astroreel.cli import main

if __name__ == "__main__":
    main()
