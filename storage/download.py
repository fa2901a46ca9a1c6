"""Files over HTTP; a transfer that was interrupted goes on where it stopped."""

from __future__ import annotations

import os
import re
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from errors import UserError

from .atomic import make_writable
from .lock import changing

CHUNK = 1 << 20
TIMEOUT = 30.0
ABSENT = frozenset({403, 404, 410})  # object stores answer 403 for what they do not hold
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that may differ a moment later


class NotOffered(UserError):
    """The server has no such file."""


def part_path(target: Path) -> Path:
    """Where an unfinished transfer to `target` is kept."""
    return target.with_name(target.name + ".part")


def remote_size(url: str, attempts: int = 5, pause: float = 1.0) -> int:
    """Bytes behind an address, 0 where the server does not say.

    Raises:
        NotOffered: the server has no such file.
        UserError: the address cannot be reached.
    """
    for attempt in range(1, attempts + 1):
        try:
            with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT) as response:
                return int(response.headers.get("Content-Length") or 0)
        except (OSError, HTTPException) as error:
            if not _may_pass(error):
                raise _refused(url, error) from error
            if attempt == attempts:
                raise UserError(f"{url}: {_reason(error)}; check the connection and run again") from error
            time.sleep(pause * 2 ** (attempt - 1))
    raise ValueError("remote_size: attempts must be at least 1")


def download(url: str, target: Path, attempts: int = 5, pause: float = 1.0) -> None:
    """Fetch `url` into `target`; the bytes so far lie in ``<target>.part`` and are kept when it fails.

    Of several processes that fetch it together one does, and the others wait for it.

    Args:
        url: http or https address.
        target: written whole or not at all.
        attempts: failures in a row, none of which brought new bytes, before giving up.
        pause: seconds before the second attempt; doubles with every failure.

    Raises:
        NotOffered: the server has no such file.
        UserError: another refusal, no connection, or no room to write.
    """
    make_writable(target.parent, "choose another folder")
    with changing(target) as waited:
        if not (waited and target.is_file()):
            _fetch(url, target, attempts, pause)


def _fetch(url: str, target: Path, attempts: int, pause: float) -> None:
    part = part_path(target)
    failures = 0
    with tqdm(desc=target.name, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=None) as bar:
        while True:
            before = _size(part)
            try:
                _transfer(url, part, bar)
                break
            except (OSError, HTTPException) as error:
                failures = 1 if _size(part) > before else failures + 1
                if not _may_pass(error):
                    raise _refused(url, error) from error
                if failures >= attempts:
                    kept = f"; {_size(part)} bytes are kept and the next run goes on from there" if _size(part) else ""
                    raise UserError(f"{url}: {_reason(error)}; check the connection and try again{kept}") from error
                time.sleep(pause * 2 ** (failures - 1))
    os.replace(part, target)


def _transfer(url: str, part: Path, bar: tqdm) -> None:
    """One request for what is missing; raises ConnectionError when fewer bytes come than announced."""
    start = _size(part)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416 or not start:
            raise
        if _content_range(error.headers.get("Content-Range"))[1] == start:  # nothing is missing
            return
        part.unlink()
        raise ConnectionError("the partial file does not fit the one offered now") from error
    with response:
        first, total = _content_range(response.headers.get("Content-Range"))
        resumed = response.status == 206
        if resumed and first != start:
            part.unlink(missing_ok=True)
            raise ConnectionError(f"asked for bytes from {start} on, got them from {first} on")
        if not resumed:  # the server sends everything, whatever was asked for
            start, total = 0, int(response.headers.get("Content-Length") or 0)
        bar.total = total or None
        bar.n = start
        bar.refresh()
        done = start + _append(response, part, "ab" if resumed else "wb", bar)
    if total and done != total:
        raise ConnectionError(f"the transfer ended after {done} of {total} bytes")


def _append(response: HTTPResponse, part: Path, mode: str, bar: tqdm) -> int:
    """Copy a response body into a file; returns the bytes written."""
    count = 0
    try:
        file = open(part, mode)
    except OSError as error:
        raise UserError(f"{part}: cannot write ({error.strerror}); choose another folder") from error
    with file:
        while chunk := response.read(CHUNK):
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise UserError(f"{part}: cannot write ({error.strerror}); make room and run again") from error
            count += len(chunk)
            bar.update(len(chunk))
    return count


def _content_range(header: str | None) -> tuple[int, int]:
    """First byte and total size of a Content-Range header, 0 where it does not say."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", (header or "").strip())
    if match is None:
        return 0, 0
    first, total = match.groups()
    return int(first or 0), int(total) if total.isdigit() else 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _may_pass(error: Exception) -> bool:
    return not isinstance(error, HTTPError) or error.code in PASSING


def _refused(url: str, error: Exception) -> UserError:
    kind = NotOffered if isinstance(error, HTTPError) and error.code in ABSENT else UserError
    return kind(f"{url}: {_reason(error)}; check the name and the address")


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}".rstrip()
    if isinstance(error, URLError):
        return f"cannot be reached ({error.reason})"
    return f"transfer failed ({error or type(error).__name__})"
