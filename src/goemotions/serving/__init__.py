"""Trained models behind a page and a JSON API."""
