"""astroreel: classify astronomical objects from sequences of image stamps."""

__version__ = "0.1.0"
