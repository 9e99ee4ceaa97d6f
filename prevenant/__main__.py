"""The command `prevenant`, also as `python -m prevenant`. Ctrl-C while it loads ends it without a word."""

import signal


def main() -> None:
    """Load the command line, and run it."""
    usual = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from prevenant.cli import main as run  # noqa: PLC0415  loading takes seconds, hence the above

    signal.signal(signal.SIGINT, usual)
    run()


if __name__ == "__main__":
    main()
