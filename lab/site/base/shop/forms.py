# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client may send."""

from django import forms


class OrderForm(forms.Form):
    reference = forms.RegexField(r"^[A-Za-z0-9._-]{1,64}$")
    email = forms.EmailField()
    item = forms.CharField(max_length=100)
    quantity = forms.IntegerField(min_value=1, max_value=1000)
    amount_cents = forms.IntegerField(min_value=0, max_value=100_000_000)
