"""`prevenant settings`: every setting, its value and where it comes from."""

from prevenant.cli.shown import show_table
from prevenant.settings import describe_settings, load_settings


def list_settings() -> None:
    """Show every setting, its value and where it comes from; secrets stay hidden."""
    show_table(["setting", "value", "from", "meaning"], describe_settings(load_settings()))
