"""The app's pages: each reads as a paragraph; what they share lives in `ui/`."""
