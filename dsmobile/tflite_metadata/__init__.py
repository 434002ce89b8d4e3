"""TFLite metadata, labels and normalization in a model file: written by a small writer of our own, read from anybody's files."""
