"""A first installation of a whole environment that fails at its end: every host as it was, however often."""

from __future__ import annotations

from tests.lab.bare import first_installation_put_back
from tests.lab.bench import Bench
from tests.lab.releases import APP, CACHE, DB, MON, WEB


def test_a_whole_environment_is_put_back_and_the_same_command_then_works(bench: Bench) -> None:
    first_installation_put_back(bench, DB, CACHE, APP, WEB, MON)
    done = bench.mainstay("apply", bench.target)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = bench.mainstay("plan", bench.target, "--exit-code")
    assert plan.returncode == 0, plan.stdout + plan.stderr
