"""Start a kernel as Colab does: with `google.colab` loaded; and without a network, as no test has one."""

import socket

import google.colab  # noqa: F401
from ipykernel import kernelapp

connect = socket.socket.connect


def local_only(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a notebook tried to reach {address}")
    return connect(self, address)


socket.socket.connect = local_only
kernelapp.launch_new_instance()
