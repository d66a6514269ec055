"""The cores and open files that a process may use."""

import os
import resource

import pytest

from otpservice.runtime import machine


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))


@pytest.fixture
def cores(tmp_path, many_cores):
    """The cores of a process on 16, by what the files of its cgroups say."""

    def cores(own, **files):
        (tmp_path / "own").write_text(own)
        for path, text in files.items():
            file = tmp_path / "cgroup" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return machine.usable_cores(tmp_path / "cgroup", tmp_path / "own")

    return cores


V2 = "0::/app.slice/otp.service\n"
V1 = "5:cpu,cpuacct:/docker/4f2a\n3:memory:/docker/4f2a\n1:name=systemd:/docker/4f2a\n"


def test_without_a_quota_all_cores_of_the_affinity_count(cores):
    assert cores(V2, **{"app.slice/otp.service/cpu.max": "max 100000\n"}) == 16
    assert cores(V1, **{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}) == 16


def test_without_cgroups_all_cores_of_the_affinity_count(tmp_path, many_cores):
    assert machine.usable_cores(tmp_path, tmp_path / "none") == 16


@pytest.mark.parametrize(("quota", "expected"), [(200_000, 2), (150_000, 2), (10_000, 1)])
def test_a_quota_is_rounded_up(cores, quota, expected):
    assert cores(V2, **{"app.slice/otp.service/cpu.max": f"{quota} 100000\n"}) == expected


def test_the_least_quota_from_the_root_down_counts(cores):
    own = {"app.slice/cpu.max": "300000 100000\n", "app.slice/otp.service/cpu.max": "9 1\n"}
    assert cores(V2, **own) == 3


def test_a_quota_beyond_the_affinity_adds_no_core(cores):
    assert cores("0::/\n", **{"cpu.max": "6400000 100000\n"}) == 16


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("group", ["", "docker/4f2a/"])
def test_version_1_of_cgroups_counts_as_well(cores, mount, group):
    folder = f"{mount}/{group}"
    files = {f"{folder}cpu.cfs_quota_us": "250000", f"{folder}cpu.cfs_period_us": "100000"}
    assert cores(V1, **files) == 3


def test_files_that_make_no_sense_are_no_quota(cores):
    assert cores("0::/\n", **{"cpu.max": "?\n"}) == 16
    assert cores("no such line\n") == 16


def test_of_this_machine_at_least_one_core_is_usable():
    assert 1 <= machine.usable_cores() <= len(os.sched_getaffinity(0))


@pytest.fixture
def limits(monkeypatch):
    """Stands for the limit of open files: soft and hard."""
    limits = [1024, 4096]

    def set_them(_which, new):
        limits[:] = new

    monkeypatch.setattr(resource, "getrlimit", lambda _which: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", set_them)
    return limits


def test_the_soft_limit_of_open_files_is_raised_to_what_is_wanted(limits):
    assert machine.allow_open_files(2000) == 2000
    assert limits == [2000, 4096]


def test_it_is_raised_to_the_hard_limit_at_most(limits):
    assert machine.allow_open_files(9000) == 4096
    assert limits == [4096, 4096]


def test_it_is_never_lowered(limits):
    assert machine.allow_open_files(100) == 100
    assert limits == [1024, 4096]


def test_no_limit_is_no_limit(limits):
    limits[:] = [1024, resource.RLIM_INFINITY]
    assert machine.allow_open_files(2000) == 2000
    limits[:] = [resource.RLIM_INFINITY, resource.RLIM_INFINITY]
    assert machine.allow_open_files(2000) == 2000
    assert limits == [resource.RLIM_INFINITY, resource.RLIM_INFINITY]


def test_a_limit_that_may_not_be_changed_stays(limits, monkeypatch):
    def forbid(_which, _new):
        raise PermissionError

    monkeypatch.setattr(resource, "setrlimit", forbid)
    assert machine.allow_open_files(2000) == 1024
