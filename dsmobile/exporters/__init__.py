"""From a Keras model to files that run on a phone or a Raspberry Pi: fold, calibrate, convert, check, record."""
