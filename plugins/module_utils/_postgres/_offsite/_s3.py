# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3-compatible storage, by boto3. It is imported when it is needed: the rest of the collection does without."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import (
    Head,
    NotThere,
    StorageFailed,
    Told,
)

_MIB: Final = 1 << 20
# S3 takes 10,000 parts; a file of 5 TiB is the largest it takes at all.
_PART: Final = 64 * _MIB
_MOST_PARTS: Final = 9000
_GONE: Final = ("404", "NoSuchKey")
_REMEDIES: Final = {
    "NoSuchBucket": "See the name of the bucket and the region; this module makes no bucket",
    "InvalidAccessKeyId": "See the credentials: the storage does not know this access key",
    "SignatureDoesNotMatch": "See the credentials: the secret key does not fit the access key",
    "403": "See the credentials, and that they may read, write and list below the prefix",
    "AccessDenied": "See that the credentials may read, write and list below the prefix",
    "ExpiredToken": "Renew the credentials",
    "BadDigest": "The network or a proxy changes what is sent: see both",
    "QuotaExceeded": "Make room in the bucket",
}


@dataclass(frozen=True)
class Credentials:
    """Who asks. With nothing given, as every AWS program: environment, shared files, role of the instance."""

    profile: str | None = None
    file: str | None = None
    access_key: str | None = None
    secret_key: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(profile={self.profile!r}, file={self.file!r})"

    def validate(self) -> None:
        """Refuse halves, and a file that others can read.

        :raises InvalidOption: see above.
        """
        if (self.access_key is None) != (self.secret_key is None):
            raise InvalidOption("access_key", "…", "both of access_key and secret_key, or none of them")
        if self.access_key is not None and (self.profile or self.file):
            raise InvalidOption("access_key", "…", "either keys, or profile and credentials_file")
        if self.file is None:
            return
        try:
            mode = os.stat(self.file).st_mode & 0o777
        except OSError as error:
            raise InvalidOption(
                "credentials_file", self.file, f"a file that this user can read ({error.strerror})"
            ) from error
        if mode & 0o077:
            raise InvalidOption(
                "credentials_file",
                self.file,
                f"a file that nobody else can read (its mode is {mode:04o})",
                remedy=f"chmod 0600 {self.file}",
            )


@dataclass(frozen=True)
class Place:
    """Which storage, and how it is spoken to."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    ca_bundle: str | None = None
    addressing_style: str = "auto"
    server_side_encryption: str | None = None
    kms_key_id: str | None = None

    def validate(self) -> None:
        """Refuse what can't be meant, or would give something away.

        :raises InvalidOption: see above.
        """
        parts = self.prefix.split("/")
        if self.prefix and (not all(parts) or not {".", ".."}.isdisjoint(parts)):
            raise InvalidOption("prefix", self.prefix, "names with / between them, none before and none behind")
        if self.endpoint_url is not None:
            url = urlsplit(self.endpoint_url)
            if url.username is not None or url.password is not None:
                raise InvalidOption("endpoint_url", f"{url.scheme}://…@{url.hostname}", "an address without a password")
            if url.scheme not in ("http", "https") or not url.hostname:
                raise InvalidOption("endpoint_url", self.endpoint_url, "an address as https://storage.example.com")
        if self.ca_bundle is not None and not os.access(self.ca_bundle, os.R_OK):
            raise InvalidOption("ca_bundle", self.ca_bundle, "a file that this user can read")
        if self.kms_key_id is not None and self.server_side_encryption != "aws:kms":
            raise InvalidOption("kms_key_id", self.kms_key_id, "server_side_encryption: aws:kms beside it")

    @property
    def in_words(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def connect(place: Place, credentials: Credentials) -> S3Store:
    """Return the storage. Nothing is asked of it yet.

    :raises SlipwayError: boto3 is missing, or the credentials can't be found.
    """
    boto3, config_type = _boto3()
    with _translated(place, "its settings"):
        session = boto3.session.Session(
            profile_name=credentials.profile, botocore_session=_session(credentials), region_name=place.region
        )
        client = session.client(
            "s3",
            endpoint_url=place.endpoint_url,
            verify=place.ca_bundle,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            config=config_type(
                retries={"mode": "standard", "max_attempts": 4},
                connect_timeout=10,
                read_timeout=60,
                s3={"addressing_style": place.addressing_style},
            ),
        )
    return S3Store(client, place)


def _boto3() -> tuple[Any, Any]:
    try:
        import boto3  # noqa: PLC0415 - see above
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise Refused(
            f"The Python that runs this module, {sys.executable}, has no boto3 ({error})",
            untouched="Nothing was changed",
            remedy=(
                "Make a virtual environment with boto3 1.36 or newer on this host and name its Python: "
                "ansible_python_interpreter: /opt/slipway/venv/bin/python"
            ),
            facts={"interpreter": sys.executable},
        ) from error
    return boto3, Config


def _session(credentials: Credentials) -> Any:
    import botocore.session  # noqa: PLC0415

    session = botocore.session.Session()
    if credentials.file is not None:
        session.set_config_variable("credentials_file", credentials.file)
    return session


@contextmanager
def _translated(place: Place, what: str) -> Iterator[None]:
    """Turn what boto3 raises into what people read. Its messages hold no secrets; tested."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise _failure(place, what, error, code) from error
    except NoCredentialsError as error:
        raise _failure(
            place, what, error, "NoCredentials",
            "Give profile, credentials_file or access_key and secret_key, or run where a role gives them",
        ) from error  # fmt: skip
    except (BotoCoreError, Boto3Error) as error:
        remedy = "See that this host reaches the storage, and run it again: what is there is not sent twice"
        raise _failure(place, what, error, type(error).__name__, remedy) from error


def _failure(place: Place, what: str, error: Exception, code: str, remedy: str = "") -> SlipwayError:
    kind = NotThere if code in _GONE else StorageFailed
    at = f" at {place.endpoint_url}" if place.endpoint_url else ""
    return kind(
        f"The storage {place.in_words}{at} failed for {what}: {error}",
        remedy=remedy or _REMEDIES.get(code, "See the storage's own message"),
        facts={"bucket": place.bucket, "prefix": place.prefix, "endpoint_url": place.endpoint_url, "code": code},
    )


class S3Store:
    """Objects in a bucket below a prefix."""

    def __init__(self, client: Any, place: Place) -> None:
        self._client = client
        self._place = place
        self._prefix = f"{place.prefix}/" if place.prefix else ""

    def in_words(self, name: str = "") -> str:
        return f"{self._place.in_words}/{name}" if name else self._place.in_words

    def part_size(self, size: int) -> int:
        return max(_PART, -(-size // _MOST_PARTS // _MIB) * _MIB)

    def names(self, below: str = "") -> list[str]:
        with _translated(self._place, f"the list of {below or 'all'}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._place.bucket, Prefix=self._prefix + below
            )
            return [entry["Key"][len(self._prefix) :] for page in pages for entry in page.get("Contents", ())]

    def head(self, name: str) -> Head | None:
        try:
            with _translated(self._place, name):
                seen = self._client.head_object(**self._object(name), ChecksumMode="ENABLED")
        except NotThere:
            return None
        # The checksum of a file that was sent in parts ends with their number.
        checksum = str(seen.get("ChecksumSHA256", "")).partition("-")[0]
        return Head(int(seen["ContentLength"]), checksum or None, dict(seen.get("Metadata", {})))

    def send(self, name: str, path: str, words: Mapping[str, str], told: Told) -> None:
        from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

        part = self.part_size(os.stat(path).st_size)
        with _translated(self._place, name):
            self._client.upload_file(
                path,
                *self._object(name).values(),
                ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": dict(words), **self._encryption()},
                Callback=told,
                Config=TransferConfig(multipart_threshold=part + 1, multipart_chunksize=part, max_concurrency=4),
            )

    def fetch(self, name: str, path: str, told: Told) -> None:
        with _translated(self._place, name):
            self._client.download_file(*self._object(name).values(), path, Callback=told)

    def write(self, name: str, data: bytes) -> None:
        with _translated(self._place, name):
            self._client.put_object(
                **self._object(name), Body=data, ChecksumAlgorithm="SHA256", ContentType="application/json",
                **self._encryption(),
            )  # fmt: skip

    def read(self, name: str) -> bytes:
        with _translated(self._place, name):
            data: bytes = self._client.get_object(**self._object(name))["Body"].read()
        return data

    def digest(self, name: str) -> str:
        digest = hashlib.sha256()
        with _translated(self._place, name):
            for block in self._client.get_object(**self._object(name))["Body"].iter_chunks(_MIB):
                digest.update(block)
        return digest.hexdigest()

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            with _translated(self._place, f"the removal of {name}"):
                self._client.delete_object(**self._object(name))

    def end_interrupted(self, below: str) -> list[str]:
        try:
            with _translated(self._place, f"the interrupted uploads of {below}"):
                pages = self._client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self._place.bucket, Prefix=self._prefix + below
                )
                for upload in [entry for page in pages for entry in page.get("Uploads", ())]:
                    self._client.abort_multipart_upload(
                        Bucket=self._place.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
        except StorageFailed as error:
            # They cost room and nothing else; some credentials may not see them.
            return [error.seen]
        return []

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._prefix + name}

    def _encryption(self) -> dict[str, str]:
        values = {
            "ServerSideEncryption": self._place.server_side_encryption,
            "SSEKMSKeyId": self._place.kms_key_id,
        }
        return {name: value for name, value in values.items() if value is not None}
