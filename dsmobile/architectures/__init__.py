"""From a table in TOML to a Keras model, its standard-convolution twin, and what both cost."""
