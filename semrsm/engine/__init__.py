"""The matching engine: tensors in, matched inner products out; it never sees a file."""
