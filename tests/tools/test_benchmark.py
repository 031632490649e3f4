import pytest

from tests.tools.test_run import call, refused


@pytest.mark.parametrize("name", ["vae", "sparse", "nearest", "memory", "loading"])
def test_a_dry_run_says_what_would_be_timed(name):
    result = call("benchmark", name, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("would ")


def test_too_few_repeats_are_refused():
    assert refused(call("benchmark", "sparse", "--repeats", 0), "--repeats 0", "1 or more")
