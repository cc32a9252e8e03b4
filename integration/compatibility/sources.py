"""Debian's source packages, for the tests that programs bring with them."""
import glob
import os
import subprocess

from drive import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KEPT = os.path.join(ROOT, "artifacts/compatibility/sources")
DEBIAN = "/etc/apt/sources.list.d/debian.sources"


def apt(*argv):
    """apt with lists of its own: this machine's stay as they are."""
    options = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={KEPT}/parts",
               "-o", f"Dir::State::lists={KEPT}/lists", "-o", "APT::Sandbox::User=root"]
    done = subprocess.run(["apt-get", "-q", *options, *argv], cwd=KEPT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"apt-get {argv[0]}: {done.stderr.strip()[-200:]}")


def unpacked(package):
    """The folder with a package's source, of the version that the archive has; fetched once."""
    pattern = os.path.join(KEPT, package + "-[0-9]*", "")
    if not glob.glob(pattern):
        os.makedirs(f"{KEPT}/parts", exist_ok=True)
        os.makedirs(f"{KEPT}/lists/partial", exist_ok=True)
        if not os.path.exists(DEBIAN):
            raise Failure("no Debian archive that is known to have sources")
        with open(DEBIAN, encoding="ascii") as f, open(f"{KEPT}/parts/source.sources", "w", encoding="ascii") as out:
            out.write(f.read().replace("Types: deb\n", "Types: deb-src\n"))
        apt("update")
        apt("source", "--download-only", package)
        for archive in glob.glob(f"{KEPT}/{package}_*.orig.tar.*"):
            subprocess.run(["tar", "-xf", archive], cwd=KEPT, check=True)
    found = glob.glob(pattern)
    if not found:
        raise Failure(f"no source of {package}")
    return found[0]
