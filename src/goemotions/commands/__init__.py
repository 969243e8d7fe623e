"""The subcommands of goemotions."""
