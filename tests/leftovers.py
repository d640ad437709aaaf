"""Processes that a test's product left behind, found by a word in their command line."""

from __future__ import annotations

import os

import psutil


def alive(word: str) -> list[psutil.Process]:
    """Every running process, but this one, that has the word as an argument."""
    found = []
    for process in psutil.process_iter():
        try:
            running = process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid()
            if running and word in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found
