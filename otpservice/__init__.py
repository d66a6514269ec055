"""SMS verification codes for every app of an organisation, over VavaSMS."""

__version__ = "0.1.0"
