"""How much memory this process and its children have together."""

from __future__ import annotations

import contextlib
import threading

import psutil

SAMPLE_S = 0.005


class Memory(threading.Thread):
    """Watches the memory of this process and its children; `peak_mb` is the most they had."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb = 0.0
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Look every few milliseconds."""
        me = psutil.Process()
        while not self._stop_asked.wait(SAMPLE_S):
            total = 0
            for process in (me, *me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
            self.peak_mb = max(self.peak_mb, total / 1e6)

    def stop(self) -> float:
        """End watching and return the peak in MB."""
        self._stop_asked.set()
        self.join()
        return self.peak_mb
