"""Asking language models about pages: whom, how, and how much it may cost."""
