"""Atomic replacement of several files in a folder: at every moment it shows all of the old or all of the new ones.

The names of the files are fixed, and the folder itself cannot be swapped: it may be a mount point, a working
directory, or hold other files. The files are therefore switched through temporary links:

1. The new files are written to a hidden folder, .unfinished-.../new, and synced to disk.
2. The old files get second names in .unfinished-.../old; "shown" there is a link to "old".
3. Each name in the folder becomes a link to .unfinished-.../shown/<name>, one after the other: it shows the same file
   as before. The link of a name without an old file is dangling.
4. "shown" is replaced, by renaming, with a link to "new". This single step commits the new files.
5. Each link is replaced with its new file; names that are no longer used and the hidden folder are removed.

A process killed before step 4 leaves the old files, after it the new ones; the next delivery completes or undoes the
rest (`recover`). On file systems without links (Windows mostly, memory cards) the old files are moved away before step
4 and the new ones moved in after it: a kill in between leaves neither in the folder, but both in the hidden one, and
the next delivery completes or undoes it in the same way.

The hidden folder's name identifies its process (`temporary`); .unfinished-.../plan.json lists the names from step 2 on.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..checks import InputError
from ..printing import printable
from ..settings.plain import from_plain
from .json_text import parse_json
from .locks import Lock, held
from .results import prepare_output, write_json
from .temporary import has_ended, new_mark, sync_file, sync_folder

_SCRATCH = re.compile(r"\.unfinished-([0-9a-z]{12})")
_LOCK = ".delivery-lock"
_PLAN = "plan.json"
_NEW, _OLD, _SHOWN, _NEXT, _LINK, _COMMITTED = "new", "old", "shown", "next", "link", "committed"
_OURS = re.compile("new|old|shown|next|link|committed|plan.json|[.]plan-[0-9a-z]{12}[.]json")
# Delivering takes milliseconds, on a slow network drive seconds: how long to wait for another process's delivery [s],
# and after how long one of another computer counts as ended.
_PATIENCE_S, _SILENT_S = 120.0, 60.0
# System errors as cause and remedy.
_CAUSES = {
    errno.ENOSPC: ("the disk is full", "free some room, or choose another folder"),
    errno.EDQUOT: ("no room is left of what this user may fill", "free some room, or choose another folder"),
    errno.EFBIG: ("a file grew larger than it may", "choose another folder"),
    errno.EACCES: (
        "no permission to replace it, or it is open in another program",
        "close it, or choose another folder",
    ),
    errno.EPERM: ("no permission to replace it", "choose another folder"),
    errno.EROFS: ("the disk can only be read", "choose another folder"),
    errno.EXDEV: ("it lies on another disk", "choose another folder"),
    errno.EBUSY: ("the system holds it in use", "close what uses it, or choose another folder"),
    errno.EISDIR: ("a folder of that name is in the way", "move it, or choose another folder"),
    errno.ENAMETOOLONG: ("its name is too long", "choose a shorter one"),
}


@dataclass(frozen=True)
class Plan:
    """The files that a delivery adds and replaces.

    new: names of the new files, relative to the folder. old: names of the earlier files that are replaced or removed.
    kept: new names of unrelated files that had the name of a new one.
    """

    new: tuple[str, ...]
    old: tuple[str, ...]
    kept: dict[str, str]


@contextmanager
def delivered(out: Path, earlier: Callable[[Path], Iterable[str]]) -> Iterator[tuple[Path, list[str]]]:
    """A folder to write to and a list for the names written; these files then replace those in `out` all at once.

    A name may include a folder ("figures/start.png"), which is created. earlier: returns the names in `out` that belong
    to an earlier delivery and are removed. Unrelated files stay; one with the name of a new file is renamed. Where the
    work within this context fails or is cancelled, `out` is unchanged. Raises InputError, naming the cause, when `out`
    cannot be written to or a file in it cannot be replaced.
    """
    # Absolute, so that a later change of the working directory has no effect.
    out = out.absolute()
    made = _missing(out)
    with _failures_named(out), _removed_unless_used(made):
        prepare_output(out)
        with held(_lock(out)):
            recover(out)
            scratch = _begun(out)
        try:
            names: list[str] = []
            yield scratch / _NEW, names
            with held(_lock(out)):
                recover(out)
                _deliver(out, scratch, list(dict.fromkeys(names)), earlier)
        finally:
            if not (scratch / _PLAN).exists():
                shutil.rmtree(scratch, ignore_errors=True)


def recover(out: Path) -> None:
    """Complete or undo the deliveries to `out` whose process was killed, and remove what they left.

    Only to be called while the lock of `out` is held. Raises OSError where that cannot be done, and InputError where
    the plan of such a delivery cannot be used.
    """
    for scratch in sorted(out.iterdir()):
        name = _SCRATCH.fullmatch(scratch.name)
        if name is None or not _is_ours(scratch):
            continue
        # With the lock held no delivery is running, so a delivery begun here was interrupted.
        plan = _plan_of(scratch)
        if plan is not None:
            if _is_committed(scratch):
                _complete(out, scratch, plan)
            else:
                _undo(out, scratch, plan)
            _discard(scratch)
        elif has_ended(name[1], _touched(scratch)):
            _discard(scratch)


def _deliver(out: Path, scratch: Path, names: list[str], earlier: Callable[[Path], Iterable[str]]) -> None:
    """Steps 2 to 5; the lock is held."""
    for name in names:
        sync_file(scratch / _NEW / name)
        _require_plain(out, name)
    old = [name for name in dict.fromkeys(earlier(out)) if _is_file(out / name) and _is_inside(out, name)]
    others = [name for name in names if name not in old and _is_file(out / name)]
    plan = Plan(tuple(names), (*old, *others), {name: _free_name(out, name) for name in others})
    for folder in sorted({(base / name).parent for base in (out, scratch / _OLD) for name in (*plan.new, *plan.old)}):
        folder.mkdir(parents=True, exist_ok=True)
    sync_folder(scratch / _NEW)
    # From here on the next delivery can complete or undo this one.
    write_json(scratch / _PLAN, asdict(plan))
    try:
        for name in plan.old:
            if name in plan.kept:
                _doubled(out / name, out / plan.kept[name])
        if _links_work(scratch):
            _show_links(out, scratch, plan)
            os.symlink(_NEW, scratch / _NEXT, target_is_directory=True)
            os.replace(scratch / _NEXT, scratch / _SHOWN)
        else:
            for name in plan.old:
                os.replace(out / name, scratch / _OLD / name)
            (scratch / _NEXT).touch()
            os.replace(scratch / _NEXT, scratch / _COMMITTED)
            _complete(out, scratch, plan)
    except BaseException:
        (scratch / _COMMITTED).unlink(missing_ok=True)
        _undo(out, scratch, plan)
        _discard(scratch)
        raise
    # The new files are committed. What cannot be completed now is left to the next delivery.
    with suppress(OSError):
        _complete(out, scratch, plan)
        sync_folder(out)
        _discard(scratch)


def _show_links(out: Path, scratch: Path, plan: Plan) -> None:
    """Replace each file with a link to the same content: steps 2 and 3."""
    for name in plan.old:
        _doubled(out / name, scratch / _OLD / name)
    os.symlink(_OLD, scratch / _SHOWN, target_is_directory=True)
    for name in dict.fromkeys((*plan.old, *plan.new)):
        os.symlink(_target(out, scratch, name), scratch / _LINK)
        os.replace(scratch / _LINK, out / name)


def _complete(out: Path, scratch: Path, plan: Plan) -> None:
    """Move the new files into place and remove what is no longer used; may be repeated."""
    for name in plan.new:
        if os.path.lexists(scratch / _NEW / name):
            os.replace(scratch / _NEW / name, out / name)
    for name in plan.old:
        if name not in plan.new and _is_our_link(out, scratch, name):
            (out / name).unlink()


def _undo(out: Path, scratch: Path, plan: Plan) -> None:
    """Move the old files back into place; may be repeated."""
    for name in plan.old:
        if os.path.lexists(scratch / _OLD / name):
            os.replace(scratch / _OLD / name, out / name)
        if name in plan.kept:
            (out / plan.kept[name]).unlink(missing_ok=True)
    for name in plan.new:
        # Without links a new file may already have been moved in; then it is no longer where it was written.
        if name not in plan.old and (_is_our_link(out, scratch, name) or not os.path.lexists(scratch / _NEW / name)):
            (out / name).unlink(missing_ok=True)


def _begun(out: Path) -> Path:
    """A new hidden folder of this process in `out`."""
    scratch = out / f".unfinished-{new_mark()}"
    scratch.mkdir()
    (scratch / _NEW).mkdir()
    return scratch


def _discard(scratch: Path) -> None:
    """Remove a hidden folder, its plan first, so that the delivery is not completed or undone a second time."""
    (scratch / _PLAN).unlink(missing_ok=True)
    shutil.rmtree(scratch)


def _is_ours(scratch: Path) -> bool:
    """Whether a hidden folder was made by this module: it holds nothing but this module's files."""
    if scratch.is_symlink() or not scratch.is_dir():
        return False
    return all(_OURS.fullmatch(entry.name) for entry in scratch.iterdir())


def _touched(scratch: Path) -> float:
    """When something was last written to a hidden folder [seconds of the clock]."""
    return max(path.lstat().st_mtime for path in (scratch, *scratch.rglob("*")))


def _plan_of(scratch: Path) -> Plan | None:
    """The plan of an interrupted delivery; None where it was interrupted before the plan was written.

    Raises InputError for a plan that is damaged or names files outside the folder; no file is moved then.
    """
    try:
        text = (scratch / _PLAN).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _no_plan(scratch, " ".join(str(error).split())) from error
    try:
        plan = from_plain(Plan, parse_json(text, "plan"), "plan")
    except InputError as error:
        raise _no_plan(scratch, f"{error.what}: {error.found}") from error
    for name in (*plan.new, *plan.old, *plan.kept, *plan.kept.values()):
        if not _is_plain(name):
            raise _no_plan(scratch, f"a file that is not in this folder ({printable(name)})")
    return plan


def _no_plan(scratch: Path, found: str) -> InputError:
    return InputError(
        f"results in {scratch.parent}",
        expected="the plan of the earlier run that was cut short there",
        found=f"{found} in {scratch.name}/{_PLAN}",
        remedy=f"choose another folder, or save what you need from {scratch.name} and remove it",
    )


def _is_committed(scratch: Path) -> bool:
    shown = scratch / _SHOWN
    return (scratch / _COMMITTED).exists() or (shown.is_symlink() and os.readlink(shown) == _NEW)


def _target(out: Path, scratch: Path, name: str) -> str:
    """The target of the link `name` in `out`, relative to the link's folder."""
    return os.path.join(*[os.pardir] * name.count("/"), scratch.name, _SHOWN, *name.split("/"))


def _is_our_link(out: Path, scratch: Path, name: str) -> bool:
    path = out / name
    return path.is_symlink() and os.readlink(path) == _target(out, scratch, name)


def _links_work(scratch: Path) -> bool:
    """Whether this user can create links on this file system."""
    try:
        os.symlink(_NEW, scratch / _LINK)
        (scratch / _LINK).unlink()
    except (OSError, NotImplementedError):
        return False
    return True


def _doubled(path: Path, second: Path) -> None:
    """Hard-link a file to a second name, or copy it where the file system has no hard links."""
    try:
        os.link(path, second, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(path, second, follow_symlinks=False)
        if not second.is_symlink():
            sync_file(second)


def _free_name(out: Path, name: str) -> str:
    path = Path(name)
    number = 1
    while os.path.lexists(out / (free := path.with_name(f"{path.stem}.kept{number}{path.suffix}"))):
        number += 1
    return free.as_posix()


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _is_inside(out: Path, name: str) -> bool:
    """Whether a name is that of a file in `out`, or in a direct subfolder that is not a link."""
    parts = name.split("/")
    return _is_plain(name) and not any((out / Path(*parts[:n])).is_symlink() for n in range(1, len(parts)))


def _is_plain(name: str) -> bool:
    """Whether a name is a relative path that stays within its folder."""
    return all(part not in ("", os.curdir, os.pardir) and Path(part).name == part for part in name.split("/"))


def _require_plain(out: Path, name: str) -> None:
    """Raise OSError where a file's place is taken by something that a file cannot replace."""
    path = out / name
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not _is_inside(out, name):
        raise NotADirectoryError(errno.ENOTDIR, "a link is in the place of a folder", str(path.parent))


def _lock(out: Path) -> Lock:
    return Lock(
        out / _LOCK,
        (),
        what=f"output folder {out}",
        expected="no other process that replaces its files",
        remedy="choose another folder, or try again",
        patience_s=_PATIENCE_S,
        silent_s=_SILENT_S,
    )


def _missing(out: Path) -> list[Path]:
    """The folders that have to be created for `out`, the innermost first."""
    made = []
    for folder in (out, *out.parents):
        if os.path.lexists(folder):
            break
        made.append(folder)
    return made


@contextmanager
def _removed_unless_used(made: list[Path]) -> Iterator[None]:
    """Remove created folders where the work within this context fails and they are still empty."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


@contextmanager
def _failures_named(out: Path) -> Iterator[None]:
    """Convert an OSError within this context into an InputError that states what could not be written, and why."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        cause, remedy = _CAUSES.get(error.errno or 0, (error.strerror or str(error), "choose another folder"))
        place = Path(error.filename).name if isinstance(error.filename, str) else ""
        raise InputError(
            "output folder",
            expected="a folder that takes the results",
            found=f"{out} ({place}: {cause})" if place else f"{out} ({cause})",
            remedy=remedy,
        ) from error
