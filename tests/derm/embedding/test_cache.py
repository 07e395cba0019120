"""Whole or absent, known by content; what is damaged, strange or in the way costs no more than itself."""

import errno
import os
import time
from pathlib import Path

import pytest

from derm.embedding import cache as cache_module
from derm.embedding.cache import KEY_FILE, entry_files, stored_keys
from derm.embedding.key import CacheKey
from derm.embedding.views import IDENTITY
from tests.derm.embedding.fake import Fake, as_items, embed, write_images


def folder_of(fake: Fake) -> Path:
    return fake.job().cache(IDENTITY).folder


def test_it_lies_in_the_repository_and_not_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `dvc exp run --temp`."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "copy").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    monkeypatch.chdir(tmp_path / "copy")
    embed(Fake(name="timm/a b"), write_images(tmp_path / "images", 3))
    assert list((tmp_path / "copy").iterdir()) == []
    (stored,) = stored_keys()
    assert stored.folder.is_relative_to(tmp_path / "repository/.derm/embeddings")
    assert stored.folder.parent.name.startswith("timm_a_b-")
    assert stored.content["encoder"] == {"encoder": "timm/a b"}
    assert stored.shape == {"dim": 5}


def test_the_code_of_views_belongs_to_all_but_the_identity(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folders() -> list[Path]:
        return [CacheKey({"encoder": "a"}, view, 8, "cpu", 2).folder for view in (IDENTITY, "crop_95")]

    before = folders()
    monkeypatch.setattr("derm.embedding.key.code_digest", lambda modules: "0" * 64)
    after = folders()
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_the_threads_of_a_cpu_belong_to_the_key_and_those_beside_a_gpu_do_not() -> None:
    """MobileNetV2's last bits differ between one thread and two."""

    def folders(device: str) -> set[Path]:
        return {CacheKey({"encoder": "a"}, IDENTITY, 8, device, threads).folder for threads in (1, 2)}

    assert (len(folders("cpu")), len(folders("cuda"))) == (2, 1)


def test_the_instructions_of_a_cpu_belong_to_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def folders(device: str) -> set[Path]:
        found = set()
        for asked in ("avx2", "default"):
            monkeypatch.setenv("ATEN_CPU_CAPABILITY", asked)
            found.add(CacheKey({"encoder": "a"}, IDENTITY, 8, device, 2).folder)
        return found

    assert len(folders("cpu")) == 2
    assert len(folders("cuda")) == 1


@pytest.mark.parametrize("damage", ["a bit", "half", "empty"])
def test_a_damaged_entry_is_told_and_its_images_computed_again(
    workspace: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    images = write_images(workspace / "images", 24)
    before = embed(Fake(), images)
    assert len(entry_files(folder_of(Fake()))) == 3
    victim = entry_files(folder_of(Fake()))[1]
    content = victim.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    victim.write_bytes({"a bit": flipped, "half": content[: len(content) // 2], "empty": b""}[damage])
    capsys.readouterr()
    after = embed(Fake(), images)
    told = capsys.readouterr().err
    assert "WARNING" in told and victim.name in told
    assert after.computed == 8
    assert after.features.tobytes() == before.features.tobytes()
    assert embed(Fake(), images).computed == 0


def test_what_is_not_ours_is_left_alone(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(workspace / "images", 4)
    embed(Fake(), images)
    folder = folder_of(Fake())
    strange = [folder / "notes.txt", folder / "mine.safetensors", folder.parent / "loose", folder.parent.parent / "x"]
    for path in strange:
        path.write_bytes(b"half a fi")
    (folder / f"{'a' * 64}.safetensors").mkdir()
    (folder.parent.parent / "other" / "view").mkdir(parents=True)
    (folder.parent.parent / "other" / "view" / KEY_FILE).write_text('{"key": []}')
    young, old = folder / ".abc.safetensors.7.tmp", folder / ".abc.safetensors.8.tmp"
    young.write_bytes(b"another run writes it")
    old.write_bytes(b"a killed run wrote it")
    os.utime(old, (0, time.time() - 90_000))
    capsys.readouterr()
    assert embed(Fake(), images).computed == 0
    assert "WARNING" not in capsys.readouterr().err
    assert all(path.exists() for path in [*strange, young])
    assert not old.exists()


def test_a_lost_description_is_written_anew(workspace: Path) -> None:
    images = write_images(workspace / "images", 16)
    embed(Fake(), (images[0][:8], images[1][:8]))
    (folder_of(Fake()) / KEY_FILE).write_text("{")
    assert embed(Fake(), images).computed == 8
    assert [stored.folder for stored in stored_keys()] == [folder_of(Fake())]


def test_a_full_disk_costs_the_entry_and_not_the_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(workspace / "images", 40)
    written: list[Path] = []
    original = cache_module.write_bytes

    def fill_up(path: Path, content: bytes) -> None:
        """There is room for the description and two batches; of the third, half of the temporary file is written."""
        if len(written) >= 3:
            (path.parent / f".{path.name}.1.tmp").write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        written.append(path)
        original(path, content)

    with monkeypatch.context() as full:
        full.setattr(cache_module, "write_bytes", fill_up)
        done = embed(Fake(), images)
    told = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(told) == 1
    assert str(folder_of(Fake())) in told[0] and "make room" in told[0]
    assert not list(workspace.rglob("*.tmp"))
    again = embed(Fake(), images)
    assert (done.computed, again.computed) == (40, 24)
    assert done.features.tobytes() == again.features.tobytes()


def test_another_error_of_the_disk_ends_the_run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(cache_module, "write_bytes", refuse)
    with pytest.raises(PermissionError):
        embed(Fake(), write_images(workspace / "images", 4))


def test_held_is_what_was_written(workspace: Path) -> None:
    paths, digests = write_images(workspace / "images", 10)
    embed(Fake(), (paths, digests))
    cache = Fake().job().cache(IDENTITY)
    assert cache.held() == set(digests)
    assert {digest for entry in cache.read() for digest in entry.digests} == set(digests)
    assert as_items((paths, digests))[0].digest in cache.held()
