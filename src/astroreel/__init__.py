"""astroreel: classify astronomical objects from sequences of image stamps."""

import os

__version__ = "0.1.0"

# OpenMP's threads spin while they wait, which on a machine with other work slows small layers tenfold.
# The library reads this when torch is imported, which is after this package.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
