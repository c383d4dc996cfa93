# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for what can go wrong with a request, and which of them an error or a status is."""

from __future__ import annotations

import errno
from enum import Enum


class Failure(Enum):
    """Why a request counts as failed."""

    REFUSED = "refused"  # nobody listens
    UNREACHABLE = "unreachable"  # no connection for another reason
    RESET = "reset"  # the peer threw the connection away
    EOF_FRESH = "eof_before_answer_fresh"  # closed without a word, on a new connection
    EOF_REUSED = "eof_before_answer_reused"  # the same, on one that was idle before
    TRUNCATED = "truncated"  # closed in the middle of the answer
    MALFORMED = "malformed"  # what came is no HTTP
    STATUS_3XX = "3xx"  # a redirect where a page is wanted
    STATUS_4XX = "4xx"
    STATUS_5XX = "5xx"
    UNEXPECTED = "unexpected_status"  # any other status that is not the wanted one
    TIMEOUT = "timeout"
    CORRUPT = "corrupt"  # the right status with a wrong content
    UNFINISHED = "unfinished"  # the generator was told to end before the answer was there


def of_connect(error: OSError) -> Failure:
    """Classify a connection that was not made."""
    return Failure.REFUSED if error.errno == errno.ECONNREFUSED else Failure.UNREACHABLE


def of_end(*, begun: bool, reused: bool) -> Failure:
    """Classify a connection that was closed before the answer was whole."""
    if begun:
        return Failure.TRUNCATED
    return Failure.EOF_REUSED if reused else Failure.EOF_FRESH


def of_status(status: int, wanted: int) -> Failure | None:
    """Classify a whole answer by its status."""
    if status == wanted:
        return None
    return {3: Failure.STATUS_3XX, 4: Failure.STATUS_4XX, 5: Failure.STATUS_5XX}.get(status // 100, Failure.UNEXPECTED)


def is_cut(failure: Failure, *, begun: bool) -> bool:
    """Tell whether an answer had begun and then the peer ended it."""
    return begun and failure in {Failure.TRUNCATED, Failure.RESET}
