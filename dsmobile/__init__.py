"""dsmobile: depthwise separable networks for the edge, built, exported, measured on the device and shipped."""

__version__ = "0.1.0"
