"""The kind: variables of a person's shell that reach the local cloud and its jobs."""

from __future__ import annotations

import os
import sys

import pytest

from pipeline.local import environment

LEAKS = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "AWS_PROFILE": "work",
    "AWS_SESSION_TOKEN": "token",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
    "MOTO_ACCOUNT_ID": "999999999999",
    "SAGEMAKER_BASE_DIR": "/elsewhere",
    "WEED_JWT_SIGNING_KEY": "key",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "SM_MODEL_DIR": "/elsewhere",
}


def test_a_child_gets_what_every_process_needs_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    for name, value in LEAKS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", "/scratch")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    child = environment.inherited()
    assert not LEAKS.keys() & child.keys()
    assert (child["TMPDIR"], child["LD_LIBRARY_PATH"]) == ("/scratch", "/opt/lib")
    assert child["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("lower", "upper", "value"),
    [
        (None, None, "127.0.0.1"),
        (None, "corp.example", "corp.example,127.0.0.1"),
        (".corp.example, 10.0.0.0/8", None, ".corp.example,10.0.0.0/8,127.0.0.1"),
        ("a.example", "b.example,a.example", "a.example,b.example,127.0.0.1"),
        ("127.0.0.1,a.example", "", "127.0.0.1,a.example"),
        ("*", None, "*"),
        ("*", "*", "*"),
        ("", "", "127.0.0.1"),
    ],
)
def test_own_exceptions_from_a_proxy_are_retained(monkeypatch: pytest.MonkeyPatch, lower, upper, value):
    for name, text in (("no_proxy", lower), ("NO_PROXY", upper)):
        monkeypatch.delenv(name, raising=False)
        if text is not None:
            monkeypatch.setenv(name, text)
    assert environment.without_proxy() == {"NO_PROXY": value, "no_proxy": value}


def test_a_proxy_is_not_asked_for_the_local_cloud(monkeypatch: pytest.MonkeyPatch):
    from urllib.request import proxy_bypass

    for before in ("", "corp.example", "*"):
        monkeypatch.setenv("no_proxy", before)
        monkeypatch.setenv("NO_PROXY", before)
        for name, value in environment.without_proxy().items():
            monkeypatch.setenv(name, value)
        assert proxy_bypass("127.0.0.1:8770"), sys.platform
