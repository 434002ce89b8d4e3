"""The harness that runs on the device: standard library, numpy and one runtime; Python 3.9 or newer; knows nothing of dsmobile."""
