"""Images with a reference standard, patients and splits: folder trees and NPZ files become a `Dataset`."""

from core.datasets.dataset import Case, Dataset, without_leaks
from core.datasets.loading import as_dataset, load_dataset
from core.datasets.tensors import tensors

__all__ = ["Case", "Dataset", "as_dataset", "load_dataset", "tensors", "without_leaks"]
