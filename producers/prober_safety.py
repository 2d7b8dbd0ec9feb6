"""When a Prober must not send, and how it gives up the rights that it no longer needs."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from fabric.model import Fabric, Prober
from producers.prober_settings import ProberRefused, ProberSettings


def prober_of(fabric: Fabric, name: str) -> Prober:
    """The Prober of that name. Raises ProberRefused with the known names."""
    prober = fabric.prober_by_name.get(name)
    if prober is None:
        known = ", ".join(fabric.prober_by_name) or "none"
        raise ProberRefused(f"no Prober {name!r} in fabric {fabric.name!r}; known: {known}")
    return prober


def controller_gone(settings: ProberSettings, now_us: int) -> str:
    """Why the controller file forbids probing, or an empty string. What cannot be read counts as gone."""
    if settings.controller_file is None:
        return ""
    try:
        touched_us = Path(settings.controller_file).stat().st_mtime_ns // 1000
    except OSError as error:
        return f"the controller file {settings.controller_file} is gone: {error.strerror}"
    age_max_us = settings.controller_age_max_s * 1_000_000
    if age_max_us and now_us - touched_us > age_max_us:
        return (
            f"the controller file {settings.controller_file} was not touched for more than "
            f"controller_age_max_s ({settings.controller_age_max_s} s)"
        )
    return ""


def drop_privileges(user: str) -> None:
    """Become an ordinary user, with its groups and no capabilities; sockets that are open stay usable.

    Does nothing for that user itself. Raises ProberRefused if it is unknown or root, PermissionError
    without the right to change.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ProberRefused(f"no user {user!r} on this machine; change the setting user") from None
    if entry.pw_uid == 0:
        raise ProberRefused("the setting user must not be root")
    if os.getuid() == entry.pw_uid:
        return
    groups = [group.gr_gid for group in grp.getgrall() if user in group.gr_mem]
    os.setgroups(groups)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    # From root to another user: the kernel clears all capabilities (capabilities(7)).
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
