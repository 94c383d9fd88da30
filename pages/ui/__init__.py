"""What pages share: cached resources, typed session keys, the viewer, identity."""
