"""The costs that hostile clients may cause an edge."""

from harness import SANITIZED, SLOW


class AttackBounds:
    """Memory of the worker (in MiB more than before), its CPU time (in seconds), and other clients' answers,
    during an attack and at its end. Memory is not judged under the sanitizers, which keep freed memory."""

    def __init__(self, edge, host, mib=32, cpu=4.0):
        self.edge, self.host, self.mib, self.cpu = edge, host, mib, cpu

    def ask(self):
        """Another client's request to `host`; fails unless it gets the right answer."""
        raise NotImplementedError

    def __enter__(self):
        self.ask()
        self.rss = self.edge.rss_kib("worker")
        self.seconds = self.edge.cpu_seconds("worker")
        return self

    def check(self):
        """Call it while the attack's connections are open, and at the attack's end."""
        if not SANITIZED:
            grown = (self.edge.rss_kib("worker") - self.rss) / 1024
            assert grown < self.mib, f"the worker grew by {grown:.0f} MiB"
        used = self.edge.cpu_seconds("worker") - self.seconds
        assert used < self.cpu * SLOW, f"the worker used {used:.1f} s of CPU"
        self.ask()

    def __exit__(self, kind, *_):
        if kind is None:
            self.check()
