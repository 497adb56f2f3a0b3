"""Programs of the maintainer, and the HTML report of `make run`."""
