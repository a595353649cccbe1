"""The start of twite.pyz: unpack the packages once, and run `twite` with them.

The packages contain libraries, which Python cannot load from an archive. They are unpacked as a
virtual environment, so that all processes that Twite starts with this Python find them, too.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile


def main():
    python = "%d.%d" % sys.version_info[:2]
    with zipfile.ZipFile(sys.argv[0]) as packed:
        build, *offered = packed.read("build").decode().split()
        if python not in offered:
            sys.exit(
                "Error: twite.pyz runs on Python %s, and this is Python %s (%s). Run it with "
                "another one, such as: python%s %s"
                % (", ".join(offered), python, sys.executable, offered[-1], sys.argv[0])
            )
        base = getattr(sys, "_base_executable", None) or sys.executable
        folder = "%s-%s" % (build, hashlib.sha256(base.encode()).hexdigest()[:8])
        place = os.path.join(cache(), folder)
        if not os.path.isdir(place):
            unpack(packed, place, python, base)
    if os.stat(place).st_uid != os.getuid():
        sys.exit("Error: %s belongs to another user. Set XDG_CACHE_HOME to your own folder" % place)
    program = os.path.join(place, "bin", "python")
    os.execv(program, [program, "-P", "-m", "twite", *sys.argv[1:]])


def cache():
    chosen = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(chosen, "twite")


def unpack(packed, place, python, base):
    try:
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        draft = tempfile.mkdtemp(dir=os.path.dirname(place))
    except OSError as error:
        sys.exit(
            "Error: %s cannot be written (%s). Set XDG_CACHE_HOME to a folder for the unpacked "
            "packages" % (os.path.dirname(place), error.strerror)
        )
    try:
        packages = os.path.join(draft, "lib", "python" + python, "site-packages")
        for member in packed.infolist():
            part, _, name = member.filename.partition("/")
            if part in ("all", python):
                file = os.path.join(packages, name)
                os.makedirs(os.path.dirname(file), exist_ok=True)
                with packed.open(member) as source, open(file, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        os.makedirs(os.path.join(draft, "bin"))
        os.symlink(base, os.path.join(draft, "bin", "python"))
        with open(os.path.join(draft, "pyvenv.cfg"), "w") as file:
            file.write("home = %s\ninclude-system-site-packages = false\n" % os.path.dirname(base))
        try:
            os.rename(draft, place)
        except OSError:
            # Another process was faster.
            if not os.path.isdir(place):
                raise
    except OSError as error:
        sys.exit("Error: %s cannot be unpacked (%s)" % (place, error.strerror))
    finally:
        shutil.rmtree(draft, ignore_errors=True)


main()
