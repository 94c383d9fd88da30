"""One module per group of terminal commands; `db/__main__.py` registers them."""
