"""The Strategy class and the shipped examples, one a file."""
