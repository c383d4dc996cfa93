# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the servers' answers."""

from __future__ import annotations

import pytest
from slipway_lab.errors import LabError
from slipway_lab.fleet import flagged_servers, normal_schema, parse_servers

# Recorded from HAProxy 2.6.12; columns that are not read are left out of `show stat`.
STAT = """# pxname,svname,qcur,scur,stot,status,weight,
shop,FRONTEND,,1,14,OPEN,,
shop,app1-blue,0,2,5,UP,100,
shop,app1-green,0,0,0,MAINT,100,
shop,app2-blue,1,0,7,DRAIN,100,
shop,BACKEND,0,0,14,UP,300,
shop_static,app1,0,0,0,UP,1,
"""
STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
3 shop 1 app1-blue 10.89.77.21 2 0 100 100
3 shop 2 app1-green 10.89.77.21 0 1 100 100
3 shop 3 app2-blue 10.89.77.22 2 8 100 100
4 shop_static 1 app1 10.89.77.21 2 0 1 1
"""


def test_servers_are_put_together_from_both_answers() -> None:
    servers = parse_servers(STAT, STATE, "shop")
    assert list(servers) == ["app1-blue", "app1-green", "app2-blue"]
    assert [server.has_traffic for server in servers.values()] == [True, False, False]
    assert [server.in_maintenance for server in servers.values()] == [False, True, False]
    assert [server.sessions for server in servers.values()] == [2, 0, 1]


@pytest.mark.parametrize(("stat", "state"), [("Permission denied", STATE), (STAT, "Permission denied"), ("", "")])
def test_an_answer_that_is_none_is_an_error(stat: str, state: str) -> None:
    with pytest.raises(LabError, match="HAProxy's answer is not understood"):
        parse_servers(stat, state, "shop")


def test_an_unknown_pool_is_an_error_and_not_empty() -> None:
    with pytest.raises(LabError, match="in pool shopp"):
        parse_servers(STAT, STATE, "shopp")


UPSTREAMS = """upstream shop {
    server 10.89.77.21:8001 max_fails=0; # app1-blue
    server 10.89.77.21:8002 max_fails=0; # app1-green
}
upstream shop--app1-blue {
    server 10.89.77.21:8002 max_fails=0; # app1-green
}
"""


def test_nginx_sends_requests_to_what_has_no_flag() -> None:
    servers = flagged_servers(UPSTREAMS, "app1-green:maint\n", "shop")
    assert [(name, server.has_traffic, server.in_maintenance) for name, server in servers.items()] == [
        ("app1-blue", True, False),
        ("app1-green", False, True),
    ]
    with pytest.raises(LabError, match="nginx has no upstream group other"):
        flagged_servers(UPSTREAMS, "", "other")


def test_the_same_schema_is_the_same_text_whatever_the_dump_adds() -> None:
    dump = "--\n-- PostgreSQL database dump\n--\n\\restrict {}\n\nCREATE TABLE one ();\n\\unrestrict {}\n"
    assert (
        normal_schema(dump.format("aB3", "aB3")) == normal_schema(dump.format("zZ9", "zZ9")) == "CREATE TABLE one ();"
    )
