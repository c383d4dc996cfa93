# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a build: how long each took, and which one failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock


class StepFailed(SlipwayError):
    """A step of a build failed. The message names the step and keeps what its cause says."""

    def __init__(self, step: str, cause: SlipwayError, *, untouched: str) -> None:
        self.step = step
        super().__init__(
            f"{step}: {cause.seen}", untouched=untouched, remedy=cause.remedy, facts={**cause.facts, "step": step}
        )


class Steps:
    """Measures steps. ``untouched`` is what a failure of any of them leaves as it was."""

    def __init__(self, clock: Clock, *, untouched: str) -> None:
        self._clock = clock
        self._untouched = untouched
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is done inside, and say in an error that it was this step.

        :raises StepFailed: instead of each error that was understood, and of those of the system (no space left).
        """
        began = self._clock.monotonic()
        try:
            yield
        except SlipwayError as error:
            raise StepFailed(name, error, untouched=self._untouched) from error
        except OSError as error:
            raise StepFailed(
                name, SlipwayError(str(error), remedy=_remedy(error)), untouched=self._untouched
            ) from error
        finally:
            spent = self._clock.monotonic() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 2)


def _remedy(error: OSError) -> str:
    if error.errno in {28, 122}:  # ENOSPC, EDQUOT
        return "Free some space; old releases go with state=pruned"
    return "Look at the owner and the rights of the directories under the root"
