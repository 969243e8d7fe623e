"""What carries and never decides: files, locks, downloads, DVC."""
