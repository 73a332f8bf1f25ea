"""What processes take, for the benchmarks: with their sources in the page cache, and nothing of the run before on the disk."""
import os, shutil, subprocess, time


class Bench:
    """Runs commands that write to `out` in a folder."""

    def __init__(self, folder):
        self.folder, self.out = folder, os.path.join(folder, "out")

    def clean(self):
        for name in ("out", ".out.moe-tool-partial"):
            path = os.path.join(self.folder, name)
            os.remove(path) if os.path.isfile(path) else shutil.rmtree(path, ignore_errors=True)
        os.sync()

    def size(self):
        """Bytes of what was written."""
        return sum(os.path.getsize(os.path.join(self.out, name)) for name in os.listdir(self.out))

    def dd(self, size):
        """The command that writes as many zeros."""
        return ["dd", "if=/dev/zero", f"of={self.out}", "bs=16M", f"count={size}", "iflag=count_bytes", "conv=fsync"]

    def run(self, command, sources):
        """Seconds and peak MiB of one process, with the files of the folders `sources` in the page cache."""
        self.clean()
        for source in sources:
            for name in sorted(os.listdir(source)):
                with open(os.path.join(source, name), "rb") as file:
                    while file.read(1 << 24):
                        pass
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        if status:
            raise SystemExit(f"{command[0]} failed: {errors.decode()[-500:]}")
        return seconds, usage.ru_maxrss / 1024
