"""What the tests share: a machine with a store, a desk with servers, fakes."""
