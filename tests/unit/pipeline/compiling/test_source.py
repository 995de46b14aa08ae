"""The commit and the repository that a registered version names."""

import subprocess

import pytest

from pipeline.compiling import source


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_it_is_the_commit_that_is_checked_out(repository):
    git(repository, "remote", "add", "origin", "https://example.com/owner/name.git")
    found = source.find(repository)
    assert len(found.commit) == 40
    assert found.repository == "https://example.com/owner/name.git"


def test_changes_that_are_in_no_commit_are_told(repository):
    (repository / "file").write_text("2")
    assert source.find(repository).commit.endswith("-dirty")


def test_a_folder_without_git_has_none(tmp_path):
    assert source.find(tmp_path) is None


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://user:token@example.com/owner/name.git", "https://example.com/owner/name.git"),
        ("https://token@example.com/owner/name", "https://example.com/owner/name"),
        ("https://example.com/owner/name?token=1", "https://example.com/owner/name"),
        ("git@example.com:owner/name.git", "https://example.com/owner/name.git"),
        ("ssh://git@example.com/owner/name.git", "https://example.com/owner/name.git"),
        ("/home/somebody/name", ""),
        ("file:///home/somebody/name", ""),
        ("../name", ""),
        ("", ""),
    ],
)
def test_no_secret_and_no_folder_of_this_machine_is_told(remote, address):
    assert source.public_address(remote) == address
