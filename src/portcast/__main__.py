"""``python -m portcast`` is the ``portcast`` command."""

from portcast.cli import main

if __name__ == "__main__":
    main()
