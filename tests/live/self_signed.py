"""An untrusted certificate for this machine and its private key, which protects nothing of value."""

from __future__ import annotations

import ssl
from pathlib import Path

PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMAgPxVoERIX3whvx
b/UpoJJtwrHYeKPK9uW1YvqjfsGhRANCAATHxEPzhMZdimXvS5NRIv/Xis1FPLVe
tsm9QNmdvUFQCIZcG+M/4y4IHTa1PQdVOlhTqE4JGI9k3yLlVzN/vVss
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUFv4OtPhTYfM7PkecljBg/9JGQJcwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjE1MjkwOVoYDzIxMjYxMDI5
MTUyOTA5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATHxEPzhMZdimXvS5NRIv/Xis1FPLVetsm9QNmdvUFQCIZcG+M/4y4I
HTa1PQdVOlhTqE4JGI9k3yLlVzN/vVsso28wbTAdBgNVHQ4EFgQUp411EwZ/k4qH
ufcKsXwV1ztCEukwHwYDVR0jBBgwFoAUp411EwZ/k4qHufcKsXwV1ztCEukwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhALN9HJKaG4HiwxLcIJ/xICTe+PuONoACPYACzZ9i64t9AiBC
j6fH1z7TV1nNiLAv3nJMntJjYxwJ4v32iJEZRZkE2A==
-----END CERTIFICATE-----
"""


def server_context(folder: Path) -> ssl.SSLContext:
    """Return a TLS context with which a local server presents the certificate."""
    path = folder / "self-signed.pem"
    path.write_text(PEM)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
