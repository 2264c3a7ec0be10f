"""Small apps, each run by tests/test_examples.py."""
