"""Settings come from the environment, and wrong ones are said in a sentence."""

import threading

import pytest

from core import settings
from core.records import Refused
from core.tasks import TASKS, get_task, task_for_modality


def test_home_is_made_and_the_store_lies_in_it(tmp_path, monkeypatch):
    """The home folder appears when first asked for; SQLite lies in it unless an address is given."""
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path / "a" / "b"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert settings.home().is_dir()
    assert settings.database_url() == f"sqlite:///{tmp_path / 'a' / 'b' / 'tumortrace.db'}"
    monkeypatch.setenv("DATABASE_URL", "postgresql://box/tt")
    assert settings.database_url() == "postgresql://box/tt"


def test_device(monkeypatch):
    """cpu is taken at its word, nonsense is refused."""
    monkeypatch.setenv("TUMORTRACE_DEVICE", "CPU")
    assert settings.device() == "cpu"
    monkeypatch.setenv("TUMORTRACE_DEVICE", "tpu")
    with pytest.raises(Refused, match="auto, cpu or cuda"):
        settings.device()


def test_cuda_is_not_pretended(monkeypatch):
    """Asking for cuda without one is a sentence, and auto falls back to the CPU."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    monkeypatch.setenv("TUMORTRACE_DEVICE", "cuda")
    with pytest.raises(Refused, match="no usable CUDA device"):
        settings.device()
    monkeypatch.setenv("TUMORTRACE_DEVICE", "auto")
    assert settings.device() == "cpu"


def test_protocol(monkeypatch):
    """The blind first reading is the default; nonsense is refused."""
    monkeypatch.delenv("TUMORTRACE_PROTOCOL", raising=False)
    assert settings.reading_protocol() == "unaided-then-aided"
    monkeypatch.setenv("TUMORTRACE_PROTOCOL", "peek")
    with pytest.raises(Refused, match="unaided-then-aided or aided"):
        settings.reading_protocol()


def test_what_is_kept_of_files(monkeypatch):
    """Nothing unless it is asked for; a misspelt wish is refused, not taken for one of the others."""
    monkeypatch.delenv("TUMORTRACE_KEEP", raising=False)
    assert settings.kept_copies() == "nothing"
    monkeypatch.setenv("TUMORTRACE_KEEP", "Original")
    assert settings.kept_copies() == "original"
    monkeypatch.setenv("TUMORTRACE_KEEP", "de-identified")
    with pytest.raises(Refused, match="must be nothing, deidentified or original"):
        settings.kept_copies()


def test_the_secret_is_one_for_all_threads_private_and_kept(tmp_path, monkeypatch):
    """Sixteen threads that ask first at the same moment get the same 32 bytes, readable by the owner only."""
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path))
    gate, found = threading.Barrier(16), []

    def ask():
        gate.wait()
        found.append(settings.installation_secret())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert [p.name for p in tmp_path.iterdir()] == ["secret.key"]


def test_a_damaged_secret_is_said(tmp_path, monkeypatch):
    """A truncated secret would change every pseudonym: it is refused, not replaced."""
    monkeypatch.setenv("TUMORTRACE_HOME", str(tmp_path))
    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(Refused, match="damaged"):
        settings.installation_secret()


def test_tasks_are_consistent():
    """Every positive class is a class, aliases lead to classes, names are fit for column names, modalities are unique."""
    for task in TASKS.values():
        assert task.positive is None or task.positive in task.classes
        assert set(task.aliases.values()) <= set(task.classes)
        assert all(name.isidentifier() for name in task.classes)
        assert task_for_modality(task.modality) == task.name
    assert len({task.modality for task in TASKS.values()}) == len(TASKS)


def test_medmnist_class_order():
    """MedMNIST's own label files: BreastMNIST 0 is malignant, BloodMNIST 7 is platelet (medmnist/info.py)."""
    assert TASKS["breast-ultrasound"].classes[0] == "malignant"
    assert TASKS["blood-cells"].classes[7] == "platelet"
    assert TASKS["breast-ultrasound"].class_index("Normal") == 1


def test_unknown_names_are_refused_with_the_known_ones():
    """A typing error in a task or class shows what there is."""
    with pytest.raises(Refused, match="breast-mri"):
        get_task("brest-mri")
    with pytest.raises(Refused, match="benign, malignant"):
        get_task("breast-mri").class_index("tumour")
    assert task_for_modality("PT") == ""
