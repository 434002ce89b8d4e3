"""Where and why quantization lost accuracy: a float file and a quantized one of the same network, layer by layer on real data."""
