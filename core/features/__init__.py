"""Image -> named numbers and pictures: histogram, GLCM, HOG, Sobel, the LBP family, Gabor and Haralick."""

from core.features.extraction import FAMILIES, FeatureVector, crop, extract, feature_names, get_families, grey_of
from core.features.family import Family

__all__ = ["FAMILIES", "Family", "FeatureVector", "crop", "extract", "feature_names", "get_families", "grey_of"]
