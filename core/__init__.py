"""The science of TumorTrace: images in, readings, predictions, heatmaps and statistics out. Knows no Streamlit and no database."""
