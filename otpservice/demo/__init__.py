"""One command that shows the whole service on one machine."""
