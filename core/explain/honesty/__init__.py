"""Are heatmaps worth looking at? Measured per model and method: against masks, against other weights, against other orders."""
