"""What is inside anybody's model file, read in a process of its own: ends, operators, MACs, weights, and which runtime here takes it."""
