"""Training side of qcnet: split vision models that send one bit per feature."""
