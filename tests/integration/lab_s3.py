# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that speaks S3, on loopback, in memory: moto's."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

BUCKET = "backups"
ACCESS_KEY = "access-of-the-test"
SECRET_KEY = "mark-of-a-secret-91"


@dataclass
class Storage:
    """The running server, and a client that is not the module's."""

    port: int
    process: subprocess.Popen[bytes]
    address: str = "127.0.0.1"
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
        )

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def control(self, path: str, data: bytes = b"") -> None:
        """Ask the server for something that no storage can do."""
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", data=data, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=20):
            pass

    def fresh(self) -> None:
        """Forget everything; one empty bucket."""
        self.control("reset")
        self.client.create_bucket(Bucket=BUCKET)

    def objects(self) -> dict[str, bytes]:
        """All names with what they hold."""
        listed = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {entry["Key"]: self.read(entry["Key"]) for entry in listed}

    def names(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def read(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data

    def flip(self, key: str) -> None:
        """Change one bit of an object and nothing else that is known about it."""
        seen = self.client.head_object(Bucket=BUCKET, Key=key)
        data = bytearray(self.read(key))
        data[len(data) // 2] ^= 4
        self.client.put_object(
            Bucket=BUCKET, Key=key, Body=bytes(data), Metadata=seen["Metadata"], ChecksumAlgorithm="SHA256"
        )

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def interrupted(self) -> list[str]:
        """The names of uploads that were begun and not ended."""
        listed = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [entry["Key"] for entry in listed]


@contextlib.contextmanager
def running(log: Path, address: str = "127.0.0.1") -> Iterator[Storage]:
    """Run a server on an address of this machine."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = int(probe.getsockname()[1])
    program = Path(sys.executable).with_name("moto_server")
    with log.open("wb") as output:
        process = subprocess.Popen([program, "-H", address, "-p", str(port)], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield Storage(port, process, address)
    finally:
        process.kill()
        process.wait()
