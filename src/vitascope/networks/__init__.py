"""torch.nn only: tensors in, NamedTuple of tensors out; no files, no devices."""
