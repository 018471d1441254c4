"""Networks: tensors in, named tuples of tensors out; no files, no devices."""
