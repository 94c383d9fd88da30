"""One module per terminal command that needs more than a few lines; `core/__main__.py` registers them."""
